"""Features of mean 0 and variance 1, by the training records alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.maths.standardising import Moments, standardised


def standardiser(train: NDArray[Any], least: float = 0.0) -> Callable[[NDArray[Any]], Tensor]:
    """A function from vectors [n d] to features [n d] float32; a column that never varies in `train` [m d] is 0.

    least   of the root mean square of all numbers: a column that deviates by no more is 0, too

    >>> standardiser(np.array([[1.0, 5.0], [3.0, 5.0]]))(np.array([[5.0, 7.0]])).tolist()
    [[3.0, 0.0]]
    """
    found = Moments(train.shape[1])
    found.add(train)
    mean, factor = found.mean, found.factor()
    if least:
        whole = np.sqrt(np.square(train, dtype=np.float64).mean())
        factor = np.where(factor * least * whole < 1, factor, 0.0)
    return lambda table: torch.from_numpy(standardised(table, mean, factor, "vectors"))
