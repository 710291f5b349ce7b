"""Linear probe: how much of a class a linear classifier finds in vectors that stay as they are.

        min over W, b of  mean cross-entropy(z W + b, y) + s / 2 |W|^2,     z = (x - mean) / std of the training records

s is chosen from a path by accuracy on dev records, or on five stratified folds of the training records where there are none; test
records choose nothing. In terms of scikit-learn's C for n training records, s = 1 / (C n).
Kin: `knn` trains nothing, `few_shot` has a handful of records a class, `multi_label_probe` has several labels a record.
Source: Alain and Bengio 2016 (arXiv 1610.01644); L-BFGS with the strength chosen on dev as in Kornblith et al. 2019 (arXiv 1805.08974).
The path of six decades is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.maths.class_metrics import balanced_accuracy as balanced
from nearfar.maths.class_metrics import macro_f1 as f1_of
from nearfar.maths.logistic_regression import logistic_path
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import classes, known_classes, vector_table
from nearfar.probes.shared.standardise import standardiser
from nearfar.probes.shared.strength import Fit, Predict, checked_strengths, predict_chosen

CARD = Card(
    name="linear_probe",
    summary="accuracy of logistic regression on frozen vectors, its strength chosen on dev or folds of train",
    related=("knn", "few_shot", "multi_label_probe", "regression", "outcome"),
    papers=("1610.01644", "1805.08974"),
)

STRENGTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)


def balanced_accuracy(columns: Columns) -> float:
    """The mean over classes of accuracy."""
    return balanced(columns["label"], columns["accuracy"])


def macro_f1(columns: Columns) -> float:
    """The mean over classes of F1."""
    return f1_of(columns["label"], columns["predicted"])


METRICS = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


def linear_probe(
    vectors: Any,
    labels: Any,
    *,
    train: tuple[Any, Any],
    dev: tuple[Any, Any] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Outcome:
    """Train a linear classifier on training records and measure it on others.

    vectors    [n d] of the test records
    labels     [n], whole numbers or strings, two classes or more
    train      vectors [m d] and labels [m]
    dev        vectors and labels of other records that choose the strength; they are not trained on
    strengths  of the penalty on the mean loss; a single one is taken as it is

    Metrics: accuracy (the main one), balanced_accuracy, macro_f1. Columns: `accuracy` (0 or 1), `predicted` and `label` (numbers of
    classes in facts["classes"]). facts["at_edge"]: the strength chosen is the first or last of those tried.

    >>> random = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> x = np.eye(3)[y] + 0.1 * random.normal(size=(60, 3))
    >>> linear_probe(x[:30], y[:30], train=(x[30:], y[30:])).figures()
    {'accuracy': 1.0, 'balanced_accuracy': 1.0, 'macro_f1': 1.0}

    Raises DataError for NaN, one class only in train, and test or dev labels that no training record has; UsageError for shapes that do
    not fit, and strengths that are not above zero.
    """
    path = checked_strengths(strengths)
    table = vector_table(vectors, "vectors")
    base = vector_table(train[0], "train[0]", width=table.shape[1])
    known = classes(train[1], "train[1]", length=len(base))
    label = known_classes(labels, known.names, "labels", length=len(table))
    held = None
    if dev is not None:
        dev_table = vector_table(dev[0], "dev[0]", width=table.shape[1])
        held = dev_table, known_classes(dev[1], known.names, "dev[1]", length=len(dev_table))
    found = predict_chosen(
        _fit(len(known.names), path), _accuracy, path, (base, known.number), held, table, known.number
    )
    columns = {
        "accuracy": (found.predictions == label).astype(np.float64),
        "predicted": found.predictions,
        "label": label,
    }
    return Outcome(
        "linear_probe",
        "accuracy",
        "records",
        columns,
        means=("accuracy",),
        metrics=METRICS,
        swapped=("accuracy", "predicted"),
        facts=found.facts(path) | {"train": len(base)} | known.facts(),
    )


def _fit(count: int, strengths: Sequence[float]) -> Fit:
    def fit(x: NDArray[Any], y: NDArray[Any]) -> Predict:
        standard = standardiser(x)
        fitted = logistic_path(standard(x), torch.eye(count)[torch.from_numpy(y)], strengths)

        def predict(other: NDArray[Any]) -> NDArray[Any]:
            z = standard(other)
            return np.stack([(z @ w + b).argmax(1).numpy() for w, b in fitted])

        return predict

    return fit


def _accuracy(predicted: NDArray[Any], label: NDArray[Any]) -> float:
    return float((predicted == label).mean())
