"""Metrics over classes in which a rare class counts as much as a frequent one. Classes are whole numbers from 0.

        balanced accuracy = mean over classes of the share that is right of the records of the class
        macro F1          = mean over classes of 2 TP / (records of the class + records called so)
        fair accuracy     = 1 / number of classes that share the highest score, if the right one is among them, else 0

Means are over the classes that occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def balanced_accuracy(label: NDArray[Any], right: NDArray[Any]) -> float:
    """Of labels [n] and what is right of each [n] (0 to 1).

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([1, 1, 1, 0]))
    0.5
    """
    count = np.bincount(label)
    there = count > 0
    return float((np.bincount(label, weights=right)[there] / count[there]).mean())


def macro_f1(label: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Of labels [n] and predicted classes [n].

    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    0.7333333333333334
    """
    classes = int(max(label.max(), predicted.max())) + 1
    total = np.bincount(label, minlength=classes) + np.bincount(predicted, minlength=classes)
    right = np.bincount(label[label == predicted], minlength=classes)
    there = total > 0
    return float((2 * right[there] / total[there]).mean())


def fair_accuracy(scores: NDArray[Any], label: NDArray[Any]) -> NDArray[np.float64]:
    """For each row of scores [n c] the chance that the class of highest score is the right one, ties broken by lot [n].

    >>> fair_accuracy(np.array([[2, 1], [3, 3]]), np.array([0, 0])).tolist()
    [1.0, 0.5]
    """
    best = scores == scores.max(1, keepdims=True)
    return best[np.arange(len(label)), label] / best.sum(1)
