"""The first half of each vector: the mean, where a model was trained to give out means and as many log scales.

        v -> v_1 ... v_(d/2)

Nothing is fitted. Kin: `whiten` turns vectors by their covariance; `gaussian_sample` is the head that such a model was trained with.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError

CARD = Card(
    name="first_half",
    summary="the first half of each vector: means without the log scales behind them",
    related=("whiten", "gaussian_sample"),
)


class FirstHalf:
    """What `first_half` makes: vectors [n d] -> (shift [d], matrix [d d/2])."""

    def __call__(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raises UsageError for vectors of an odd length."""
        width = vectors.shape[1]
        if width % 2:
            raise UsageError(
                f"vectors of {width} numbers have no half", where="encoder.dimension", remedy="give an even dimension"
            )
        return np.zeros(width, np.float32), np.eye(width, width // 2, dtype=np.float32)


def first_half() -> FirstHalf:
    """For the stage `Transform`: the model gives out the first half of its vectors.

    >>> import numpy as np, nearfar as nf
    >>> shift, matrix = nf.first_half()(np.array([[1.0, 2.0, 3.0, 4.0]]))
    >>> ((np.array([[1.0, 2.0, 3.0, 4.0]]) - shift) @ matrix).tolist()
    [[1.0, 2.0]]
    """
    return FirstHalf()
