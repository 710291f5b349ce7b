"""Classification by nearest neighbours: whether records of one class lie together, without anything being trained.

        accuracy:           the class with most of the k nearest by cosine
        weighted accuracy:  the class of largest  sum over its neighbours of exp(cos / temperature)

Where classes share the most votes, a record counts by the chance of the lot: 1/2 if its class is one of two. Neighbours that are equally
near at the k-th place are taken in the order of rows. Without training records each record is classified by all others.
Kin: `linear_probe` trains a classifier, `few_shot` has a handful of records a class.
Source of the weights, and of temperature 0.07: Wu et al. 2018 (arXiv 1805.01978), section 3.4; k = 20 as in Caron et al. 2021 (arXiv
2104.14294).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.class_metrics import balanced_accuracy as balanced
from nearfar.maths.class_metrics import fair_accuracy
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import at_least, classes, known_classes, unit_float32, vector_table

CARD = Card(
    name="knn",
    summary="accuracy of the k nearest neighbours by cosine, plain and weighted, exact",
    related=("linear_probe", "few_shot", "clustering", "outcome"),
    papers=("1805.01978", "2104.14294"),
)

HELD = 1 << 22  # votes counted at once


def balanced_accuracy(columns: Columns) -> float:
    """The mean over classes of plain accuracy."""
    return balanced(columns["label"], columns["accuracy"])


METRICS = {"balanced_accuracy": balanced_accuracy}


def knn(
    vectors: Any, labels: Any, *, train: tuple[Any, Any] | None = None, k: int = 20, temperature: float = 0.07
) -> Outcome:
    """Classify records by their k nearest training records.

    vectors      [n d]
    labels       [n], whole numbers or strings
    train        vectors [m d] and labels [m] of other records; without it each record is left out in turn
    k            neighbours
    temperature  of the weighted vote

    Metrics: accuracy (the main one), weighted_accuracy, balanced_accuracy. Columns: `accuracy` and `weighted_accuracy` (0 to 1 where
    votes are tied), `label` (the number of the class in facts["classes"]).

    >>> x = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    >>> knn(x, ["a", "a", "b", "b"], k=1).figures()
    {'accuracy': 1.0, 'weighted_accuracy': 1.0, 'balanced_accuracy': 1.0}

    Raises DataError for NaN, one class only, and test labels that no training record has; UsageError for shapes that do not fit, and
    for a k beyond the number of training records.
    """
    if not 0 < temperature < np.inf:
        raise UsageError(f"a temperature of {temperature}", where="temperature", remedy="give a number above zero")
    table = vector_table(vectors, "vectors")
    if train is None:
        known = classes(labels, "labels", length=len(table))
        label, number = known.number, known.number
        at_least(k, 1, len(table) - 1, "k", "neighbours")
        neighbour, cosine = _of_others(unit_float32(table), k)
    else:
        base = vector_table(train[0], "train[0]", width=table.shape[1])
        known = classes(train[1], "train[1]", length=len(base))
        label, number = known_classes(labels, known.names, "labels", length=len(table)), known.number
        at_least(k, 1, len(base), "k", "neighbours")
        neighbour, cosine = nearest_chunked(unit_float32(table), unit_float32(base), k)
    weight = np.exp(cosine.astype(np.float64) / temperature - 1 / temperature)
    columns = {
        "accuracy": _voted(number[neighbour], np.ones_like(weight), label, len(known.names)),
        "weighted_accuracy": _voted(number[neighbour], weight, label, len(known.names)),
        "label": label,
    }
    return Outcome(
        "knn",
        "accuracy",
        "records",
        columns,
        means=("accuracy", "weighted_accuracy"),
        metrics=METRICS,
        swapped=("accuracy", "weighted_accuracy"),
        facts={"k": k, "train": len(number) - (train is None)} | known.facts(),
    )


def _of_others(unit: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Numbers and cosines [n k] of the nearest other rows."""
    number, cosine = nearest_chunked(unit, unit, k + 1)
    own = number == np.arange(len(unit))[:, None]
    # Among many equal rows a row may not find itself; then the last place is one too many.
    own[~own.any(1), -1] = True
    return number[~own].reshape(-1, k), cosine[~own].reshape(-1, k)


def _voted(vote: NDArray[np.int64], weight: NDArray[Any], label: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Chance of the right class [n], from the classes [n k] and weights [n k] of neighbours."""
    made = np.empty(len(label))
    height = max(1, HELD // count)
    for start in range(0, len(label), height):
        part = slice(start, start + height)
        rows = len(label[part])
        place = (np.arange(rows)[:, None] * count + vote[part]).ravel()
        votes = np.bincount(place, weights=weight[part].ravel(), minlength=rows * count).reshape(rows, count)
        made[part] = fair_accuracy(votes, label[part])
    return made
