"""Regression: how well a value (an age, a price, an angle) is predicted by a linear function of vectors that stay as they are.

        min over w of  mean (y - mean y - z w)^2 + s |w|^2,     z = (x - mean) / std of the training records
        R2 = 1 - sum (y - prediction)^2 / sum (y - mean y of the test records)^2

s is chosen from a path by squared error on dev records, or on five folds of the training records; test records choose nothing.
In terms of scikit-learn's `Ridge`, s = alpha / n.
Kin: `linear_probe` predicts classes; `sts` compares scores of pairs with values.
Source: Hoerl and Kennard 1970, "Ridge regression". The path of half decades is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.maths.rank_correlation import spearman as spearman_of
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import value_column, varied_column, vector_table
from nearfar.probes.shared.standardise import standardiser
from nearfar.probes.shared.strength import Fit, Predict, checked_strengths, predict_chosen

CARD = Card(
    name="regression",
    summary="R2, absolute error and rank correlation of ridge regression on frozen vectors",
    related=("linear_probe", "sts", "outcome"),
)

STRENGTHS = tuple(10.0 ** (half / 2) for half in range(6, -13, -1))


def r2(columns: Columns) -> float:
    """The share of the variance that is explained; below 0 where the mean would do better."""
    spread = ((columns["value"] - columns["value"].mean()) ** 2).sum()
    return float(1 - ((columns["value"] - columns["predicted"]) ** 2).sum() / spread) if spread > 0 else 0.0


def spearman(columns: Columns) -> float:
    """The correlation of ranks."""
    return spearman_of(columns["predicted"], columns["value"])


METRICS = {"r2": r2, "spearman": spearman}


def regression(
    vectors: Any,
    values: Any,
    *,
    train: tuple[Any, Any],
    dev: tuple[Any, Any] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Outcome:
    """Fit a ridge regression on training records and measure it on others.

    vectors    [n d] of the test records
    values     [n]
    train      vectors [m d] and values [m]
    dev        vectors and values of other records that choose the strength; they are not trained on
    strengths  of the penalty on the mean squared error; a single one is taken as it is

    Metrics: r2 (the main one; 0 in a resample of equal values), mae (lower is better), spearman. Columns: `mae` (absolute errors),
    `predicted`, `value`. facts["at_edge"]: the strength chosen is the first or last of those tried.

    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = x @ [1.0, 2.0, 3.0]
    >>> round(regression(x[:30], y[:30], train=(x[30:], y[30:])).figure("r2"), 3)
    1.0

    Raises DataError for NaN and values that are all equal; UsageError for shapes that do not fit, and strengths that are not above zero.
    """
    path = checked_strengths(strengths)
    table = vector_table(vectors, "vectors")
    value = varied_column(values, "values", length=len(table))
    base = vector_table(train[0], "train[0]", width=table.shape[1])
    base_value = varied_column(train[1], "train[1]", length=len(base))
    held = None
    if dev is not None:
        dev_table = vector_table(dev[0], "dev[0]", width=table.shape[1])
        held = dev_table, value_column(dev[1], "dev[1]", length=len(dev_table))
    groups = np.zeros(len(base), dtype=np.int64)
    found = predict_chosen(_fit(path), _quality, path, (base, base_value), held, table, groups)
    columns = {"mae": np.abs(found.predictions - value), "predicted": found.predictions, "value": value}
    return Outcome(
        "regression",
        "r2",
        "records",
        columns,
        means=("mae",),
        metrics=METRICS,
        swapped=("predicted",),
        higher={"mae": False},
        facts=found.facts(path) | {"train": len(base)},
    )


def _fit(strengths: Sequence[float]) -> Fit:
    def fit(x: NDArray[Any], y: NDArray[Any]) -> Predict:
        standard = standardiser(x)
        z = standard(x).numpy().astype(np.float64)
        variance, axes = np.linalg.eigh(z.T @ z / len(z))
        shared = axes.T @ (z.T @ (y - y.mean())) / len(z)
        weights = axes @ (shared[:, None] / (variance.clip(0)[:, None] + np.array(strengths)))
        return lambda other: y.mean() + (standard(other).numpy() @ weights).T

    return fit


def _quality(predicted: NDArray[Any], value: NDArray[Any]) -> float:
    return -float(((predicted - value) ** 2).mean())
