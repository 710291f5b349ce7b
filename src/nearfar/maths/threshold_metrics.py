"""How well a score tells positives from negatives: over all thresholds, and at the best one. Equal scores fall on one side together.

With P positives, N negatives, and TP_t positives among the S_t records of score >= t, for the distinct scores t from high to low:

        average precision = sum_t (TP_t - TP_t-) / P * TP_t / S_t                        (t- is the score before t; no interpolation)
        AUROC             = P(positive above negative) + 1/2 P(equal)
        FPR at TPR r      = (S_t - TP_t) / N   at the highest t with TP_t >= r P
        accuracy at t     = (TP_t + N - (S_t - TP_t)) / (P + N)
        F1 at t           = 2 TP_t / (S_t + P)

Where there is one class only (a bootstrap may draw that) each is what chance gives: the share of positives, 0.5, r.
The definitions of average precision and of tied scores are those of scikit-learn; Hanley and McNeil 1982 for the area as a chance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Thresholds(NamedTuple):
    """The distinct scores from high to low, and how many records and positives are at or above each."""

    score: NDArray[np.float64]
    selected: NDArray[np.int64]
    positives: NDArray[np.int64]


def thresholds(scores: NDArray[Any], positive: NDArray[Any]) -> Thresholds:
    """Count records of `scores` [n] and those that are `positive` [n] (0 or 1) at every distinct score."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return Thresholds(ordered[last], last + 1, np.cumsum(positive[order].astype(np.int64))[last])


def average_precision(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """The area under the steps of precision over recall.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]))
    0.8333333333333333
    """
    found = thresholds(scores, positive)
    if found.positives[-1] in (0, len(scores)):
        return float(np.mean(positive))
    return float((np.diff(found.positives, prepend=0) * found.positives / found.selected).sum() / found.positives[-1])


def auroc(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """The chance that a positive scores above a negative.

    >>> auroc(np.array([0.9, 0.8, 0.8]), np.array([1, 0, 1]))
    0.75
    """
    found = thresholds(scores, positive)
    negatives = found.selected - found.positives
    if found.positives[-1] == 0 or negatives[-1] == 0:
        return 0.5
    below = negatives[-1] - negatives + np.diff(negatives, prepend=0) / 2
    return float((np.diff(found.positives, prepend=0) * below).sum() / (found.positives[-1] * negatives[-1]))


def fpr_at_tpr(scores: NDArray[Any], positive: NDArray[Any], rate: float = 0.95) -> float:
    """The share of negatives that are called positive where the share `rate` of the positives is.

    >>> fpr_at_tpr(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0]))
    0.5
    """
    found = thresholds(scores, positive)
    negatives = found.selected - found.positives
    if found.positives[-1] == 0 or negatives[-1] == 0:
        return rate
    enough = found.positives >= rate * found.positives[-1] - 1e-9  # 0.95 * 60 may come out above 57
    return float(negatives[enough.argmax()] / negatives[-1])


def best_accuracy_threshold(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """The threshold (score >= t is positive) of highest accuracy, midway between two scores; the higher of equally good ones.

    >>> best_accuracy_threshold(np.array([0.9, 0.8, 0.4]), np.array([1, 1, 0]))
    0.6000000000000001
    """
    found = thresholds(scores, positive)
    # Right at t: its positives, and all negatives but those selected. To select none is a choice as well.
    right = np.append(0, 2 * found.positives - found.selected)
    return _midway(found.score, int(right.argmax()))


def best_f1_threshold(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """The threshold (score >= t is positive) of highest F1, midway between two scores; the higher of equally good ones.

    >>> best_f1_threshold(np.array([0.9, 0.8, 0.4]), np.array([1, 0, 1])) < 0.8
    True
    """
    found = thresholds(scores, positive)
    f1 = 2 * found.positives / (found.selected + found.positives[-1])
    return _midway(found.score, int(f1.argmax()) + 1)


def _midway(score: NDArray[np.float64], kept: int) -> float:
    """A threshold that lets `kept` of the distinct scores pass."""
    if kept == 0:
        return float(np.nextafter(score[0], np.inf))
    if kept == len(score):
        return float(score[-1])
    # Of two neighbouring floats the middle may round to the lower one.
    return float(max(score[kept] + (score[kept - 1] - score[kept]) / 2, np.nextafter(score[kept], np.inf)))
