"""How strongly to regularise: chosen on dev records where there are any, else on folds of the training records. Never on test records.

A fit is a function (x [n d], y) -> a function x' [m d] -> predictions [s m ...], one for each strength, strong ones first. Of equally
good strengths the strongest wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError

Predict = Callable[[NDArray[Any]], NDArray[Any]]
Fit = Callable[[NDArray[Any], NDArray[Any]], Predict]
Quality = Callable[[NDArray[Any], NDArray[Any]], float]
FOLDS = 5


class Chosen(NamedTuple):
    """The predictions for the test records under the strength that was chosen, and on what it was chosen."""

    predictions: NDArray[Any]
    strength: float
    chosen_on: str

    def facts(self, strengths: Sequence[float]) -> dict[str, Any]:
        """For `Outcome.facts`; a strength at the edge of those tried says that a wider range may do better."""
        edge = len(strengths) > 1 and self.strength in (max(strengths), min(strengths))
        return {"strength": self.strength, "chosen_on": self.chosen_on, "at_edge": edge}


def predict_chosen(
    fit: Fit,
    quality: Quality,
    strengths: Sequence[float],
    train: tuple[NDArray[Any], NDArray[Any]],
    dev: tuple[NDArray[Any], NDArray[Any]] | None,
    test: NDArray[Any],
    groups: NDArray[np.int64],
) -> Chosen:
    """Fit on `train`, choose by `quality(predictions, truth)` (higher is better) on `dev` or on folds stratified by `groups` [n]."""
    predict = fit(*train)
    if len(strengths) == 1:
        return Chosen(predict(test)[0], strengths[0], "given")
    if dev is not None:
        found, truth, chosen_on = predict(dev[0]), dev[1], "dev"
    else:
        found, truth, chosen_on = _held_out(fit, len(strengths), train, folds(groups)), train[1], f"{FOLDS} folds"
    best = int(np.argmax([quality(predictions, truth) for predictions in found]))
    return Chosen(predict(test)[best], strengths[best], chosen_on)


def folds(groups: NDArray[np.int64], count: int = FOLDS) -> NDArray[np.int64]:
    """The fold of each record [n], 0 to count - 1: every group is dealt out evenly, in an order drawn by record.

    >>> np.bincount(folds(np.zeros(10, dtype=np.int64))).tolist()
    [2, 2, 2, 2, 2]
    """
    drawn = uniform(0, "folds of a probe", torch.arange(len(groups))).numpy()
    order = np.lexsort((drawn, groups))
    made = np.empty(len(groups), dtype=np.int64)
    made[order] = np.arange(len(groups)) % count
    return made


def checked_strengths(strengths: Sequence[float]) -> tuple[float, ...]:
    """From strong to weak. Raises UsageError for none, and for what is not a finite number above zero."""
    if not len(strengths) or not all(0 < s < np.inf for s in strengths):
        raise UsageError(
            f"strengths of {list(strengths)}", where="strengths", remedy="give one finite number above zero, or several"
        )
    return tuple(sorted({float(s) for s in strengths}, reverse=True))


def _held_out(fit: Fit, count: int, train: tuple[NDArray[Any], NDArray[Any]], fold: NDArray[np.int64]) -> NDArray[Any]:
    """Predictions [s n ...] for every training record by a fit that has not seen its fold."""
    x, y = train
    made: NDArray[Any] | None = None
    for number in np.unique(fold):
        held = fold == number
        found = fit(x[~held], y[~held])(x[held])
        if made is None:
            made = np.empty((count, len(x), *found.shape[2:]), dtype=found.dtype)
        made[:, held] = found
    assert made is not None
    return made
