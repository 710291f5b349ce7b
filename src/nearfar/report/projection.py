"""Vectors as a picture: two axes to draw them on, who is nearest to whom, and how many directions they use.

Source: effective rank as in `vital_signs`, the exponential of the entropy of the shares of the variance (Roy and Vetterli 2007);
t-SNE: van der Maaten and Hinton 2008, as scikit-learn has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.optional import needed
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.maths.principal_axes import principal_axes

DIRECTIONS = 50  # principal axes that t-SNE is given
FEWEST = 5  # points below which t-SNE means nothing


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows at unit length [n d] float32; a row of zeros stays."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def principal(vectors: NDArray[Any], axes: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places [n axes] on the principal axes, and the share of the variance along every axis [d], largest first.

    An axis points to where its largest coordinate is positive, so that the same vectors give the same picture.
    """
    found = principal_axes(vectors, axes)
    return found.places(vectors), found.shares


def t_sne(vectors: NDArray[Any], seed: int = 0) -> NDArray[np.float64]:
    """Places [n 2] that keep who is near whom, and not how far the far are.

    Raises ResourceError where scikit-learn is not installed.
    """
    manifold = needed("sklearn.manifold", "probes")
    if len(vectors) < FEWEST:
        return principal(vectors)[0]
    given = principal(vectors, min(DIRECTIONS, vectors.shape[1]))[0].astype(np.float32)
    perplexity = min(30.0, (len(given) - 1) / 3)
    return (
        manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(given).astype(np.float64)
    )


def effective_rank(shares: NDArray[Any]) -> float:
    """In how many directions the variance lies, from its shares [d]: 1 for a line, d for a ball."""
    shares = np.asarray(shares, dtype=np.float64)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def neighbours(
    vectors: NDArray[Any], k: int = 10, pool: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest by cosine of each row among the others, or among the others of a `pool` [n]: numbers and cosines [n k].

    Where there are fewer than k the numbers end with -1 and the cosines with 0.
    """
    vectors = unit(vectors)
    rows = np.arange(len(vectors)) if pool is None else np.flatnonzero(pool)
    numbers, scores = np.full((len(vectors), k), -1, np.int64), np.zeros((len(vectors), k), np.float32)
    if not len(rows):
        return numbers, scores
    found, cosines = nearest_chunked(vectors, vectors[rows], k + 1)
    found = rows[found]
    # Itself is left out wherever it stands: equal vectors may come before it.
    others = found != np.arange(len(vectors))[:, None]
    order = np.argsort(~others, axis=1, kind="stable")[:, :k]
    width = order.shape[1]
    numbers[:, :width] = np.where(np.take_along_axis(others, order, 1), np.take_along_axis(found, order, 1), -1)
    scores[:, :width] = np.where(numbers[:, :width] < 0, 0, np.take_along_axis(cosines, order, 1))
    return numbers, scores
