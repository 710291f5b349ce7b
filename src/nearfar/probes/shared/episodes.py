"""Episodes of few classes with few records each, as probes of few-shot learning draw them: the same for every model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.draws import uniform
from nearfar.core.errors import DataError
from nearfar.maths.class_metrics import fair_accuracy
from nearfar.probes.shared.inputs import Classes


def members(known: Classes, ways: int, size: int) -> list[Tensor]:
    """Places of the records of each class that has at least `size`. Raises DataError for fewer than `ways` such classes."""
    large = np.flatnonzero(np.bincount(known.number) >= size)
    if len(large) < ways:
        raise DataError(
            f"{len(large)} of {len(known.names)} classes have the {size} records that shots and queries take",
            where="labels",
            remedy=f"ask for fewer shots or queries, or give {ways} classes of {size} records",
        )
    return [torch.from_numpy(np.flatnonzero(known.number == c)) for c in large]


def drawn(episode: int, of: list[Tensor], ways: int, size: int, seed: int) -> Tensor:
    """The records [ways size] of one episode."""
    chosen = uniform(seed, "few-shot, class", episode, torch.arange(len(of))).argsort(stable=True)[:ways]
    rows = [of[c] for c in chosen.tolist()]
    return torch.stack(
        [row[uniform(seed, "few-shot, record", episode, row).argsort(stable=True)[:size]] for row in rows]
    )


def accuracy(scores: Tensor, answer: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean [e] over queries of scores [e q c]; where classes score the same, the chance of the lot counts."""
    flat = scores.flatten(0, 1).numpy()
    return fair_accuracy(flat, np.tile(answer, len(scores))).reshape(len(scores), -1).mean(1)
