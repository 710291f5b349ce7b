"""Multi-label probe: how much of several labels a record linear classifiers find in vectors that stay as they are.

        min over W, b of  mean over records of sum_c BCE(z W_c + b_c, y_c) + s / 2 |W|^2,     z standardised as in `linear_probe`
        macro AP = mean over labels of average precision,   micro F1 = 2 TP / (2 TP + FP + FN) over all (record, label), at P(label) >= 1/2

s is the same for all labels, chosen by macro AP on dev records, or on five folds of the training records; test records choose nothing.
A label that no test record has, or that all have, has no average precision: it is left out of macro AP.
Kin: `linear_probe` has one class a record.
Source: mean average precision as for PASCAL VOC (Everingham et al. 2010), not interpolated. The path of six decades is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.logistic_regression import logistic_path, sigmoid_loss
from nearfar.maths.rank_correlation import average_ranks
from nearfar.maths.threshold_metrics import average_precision
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import vector_table
from nearfar.probes.shared.standardise import standardiser
from nearfar.probes.shared.strength import Fit, Predict, checked_strengths, predict_chosen

CARD = Card(
    name="multi_label_probe",
    summary="macro average precision and micro F1 of linear classifiers of several labels a record",
    related=("linear_probe", "multi_label", "outcome"),
)

STRENGTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)


def macro_ap(columns: Columns) -> float:
    """The mean of average precision over the labels that some records have and some have not; 0 if there are none."""
    return _macro_ap(columns["rank"], columns["label"])


def micro_f1(columns: Columns) -> float:
    """F1 over all (record, label); 0 where nothing is labelled and nothing predicted."""
    total = columns["label"].sum() + columns["predicted"].sum()
    return float(2 * (columns["label"] * columns["predicted"]).sum() / total) if total else 0.0


METRICS = {"macro_ap": macro_ap, "micro_f1": micro_f1}


def multi_label_probe(
    vectors: Any,
    labels: Any,
    *,
    train: tuple[Any, Any],
    dev: tuple[Any, Any] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Outcome:
    """Train one linear classifier a label on training records and measure them on others.

    vectors    [n d] of the test records
    labels     [n c] of 0 and 1
    train      vectors [m d] and labels [m c]
    dev        vectors and labels of other records that choose the strength; they are not trained on
    strengths  of the penalty on the mean loss; a single one is taken as it is

    Metrics: macro_ap (the main one), micro_f1. Columns [n c]: `rank` (of the record for the label), `predicted` and `label` (0 or 1).

    >>> x = np.random.default_rng(0).normal(size=(80, 2))
    >>> found = multi_label_probe(x[:40], x[:40] > 0, train=(x[40:], x[40:] > 0))
    >>> found.figure("macro_ap") > 0.98
    True

    Raises DataError for NaN, labels other than 0 and 1, a label that no training record has or all have, and test labels of which none can
    be measured; UsageError for shapes that do not fit, and strengths that are not above zero.
    """
    path = checked_strengths(strengths)
    table = vector_table(vectors, "vectors")
    base = vector_table(train[0], "train[0]", width=table.shape[1])
    base_label = _label_table(train[1], "train[1]", length=len(base))
    width = base_label.shape[1]
    label = _label_table(labels, "labels", length=len(table), width=width)
    held = None
    if dev is not None:
        dev_table = vector_table(dev[0], "dev[0]", width=table.shape[1])
        held = dev_table, _label_table(dev[1], "dev[1]", length=len(dev_table), width=width)
    single = np.flatnonzero(np.ptp(base_label, axis=0) == 0)
    for where, given, bad in (
        ("train[1]", base_label, len(single) > 0),
        ("labels", label, not np.ptp(label, axis=0).any()),
        ("dev[1]", held and held[1], held is not None and not np.ptp(held[1], axis=0).any()),
    ):
        if bad and given is not None:
            column = int(np.flatnonzero(np.ptp(given, axis=0) == 0)[0])
            raise DataError(
                f"label {column} is {given[0, column]} for every record",
                where=where,
                remedy="leave the label out, or give records with and without it",
            )
    groups = np.zeros(len(base), dtype=np.int64)
    found = predict_chosen(_fit(path), _quality, path, (base, base_label), held, table, groups)
    columns = {
        "rank": np.stack([average_ranks(one) for one in found.predictions.T], axis=1),
        "predicted": (found.predictions >= 0).astype(np.int64),
        "label": label,
    }
    return Outcome(
        "multi_label_probe",
        "macro_ap",
        "records",
        columns,
        metrics=METRICS,
        swapped=("rank", "predicted"),
        facts=found.facts(path) | {"train": len(base), "labels": width},
    )


def _fit(strengths: Sequence[float]) -> Fit:
    def fit(x: NDArray[Any], y: NDArray[Any]) -> Predict:
        standard = standardiser(x)
        fitted = logistic_path(standard(x), torch.from_numpy(y).float(), strengths, sigmoid_loss)

        def predict(other: NDArray[Any]) -> NDArray[Any]:
            z = standard(other)
            return np.stack([(z @ w + b).numpy() for w, b in fitted])

        return predict

    return fit


def _quality(scores: NDArray[Any], label: NDArray[Any]) -> float:
    return _macro_ap(scores, label)


def _macro_ap(scores: NDArray[Any], label: NDArray[Any]) -> float:
    measured = np.flatnonzero(np.ptp(label, axis=0))
    found = [average_precision(scores[:, c], label[:, c]) for c in measured]
    return float(np.mean(found)) if found else 0.0


def _label_table(labels: Any, where: str, *, length: int, width: int = -1) -> NDArray[np.int64]:
    made = vector_table(labels, where, length=length, width=width)
    odd = np.argwhere((made != 0) & (made != 1))
    if len(odd):
        raise DataError(
            f"label {odd[0][1]} of record {odd[0][0]} is {made[tuple(odd[0])]:g}",
            where=where,
            remedy="labels are 0 or 1",
        )
    return made.astype(np.int64)
