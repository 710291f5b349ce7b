"""Whitening: vectors moved and turned so that their mean is zero and their covariance the identity; perhaps cut to fewer numbers.

        mean = E[v]      covariance = U diag(s) U^T      v -> (v - mean) U diag(s)^(-1/2)         columns by falling s

It is fitted after the training, on the vectors that a frozen encoder gives, without gradient: it makes anisotropic spaces (BERT's)
usable by the cosine. Kin: the objectives `w_mse` and `shuffled_group_whitening` whiten within the training.
Source: Su et al. 2021 (arXiv 2103.15316); directions whose variance is a millionth of the largest or less are left out: dividing by
them would blow up rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError

CARD = Card(
    name="whiten",
    summary="mean zero and covariance one, fitted to the vectors of a trained model",
    related=("w_mse", "shuffled_group_whitening"),
)

LEAST = 1e-6  # of the largest variance


@dataclass(frozen=True)
class Whiten:
    """What `whiten` makes: vectors [n d] -> (shift [d], matrix [d m])."""

    dimension: int | None

    def __call__(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raises DataError for fewer than two vectors, or vectors that are all equal."""
        if len(vectors) < 2:
            raise DataError("one vector has no covariance", where="vectors", remedy="fit on the training records")
        exact = vectors.astype(np.float64)
        mean = exact.mean(0)
        variances, directions = np.linalg.eigh(np.cov(exact - mean, rowvar=False).reshape(len(mean), len(mean)))
        order = np.argsort(variances)[::-1]
        kept = order[variances[order] > LEAST * max(float(variances.max()), 0.0)][: self.dimension]
        if not len(kept):
            raise DataError("all vectors are equal", where="vectors", remedy="train the encoder first")
        return mean.astype(np.float32), (directions[:, kept] / np.sqrt(variances[kept])).astype(np.float32)


def whiten(*, dimension: int | None = None) -> Whiten:
    """A whitening for the stage `Transform`, cut to `dimension` numbers if that is given. Raises UsageError unless it is positive.

    >>> import numpy as np, nearfar as nf
    >>> vectors = np.random.default_rng(0).normal(size=(500, 3)) @ np.diag([5.0, 1.0, 0.1])
    >>> shift, matrix = nf.whiten()(vectors)
    >>> np.allclose(np.cov((vectors - shift) @ matrix, rowvar=False), np.eye(3), atol=1e-4)
    True
    """
    if dimension is not None and dimension < 1:
        raise UsageError(f"{dimension} numbers are no vector", where="dimension", remedy="give at least 1")
    return Whiten(dimension)
