"""Principal axes of vectors: what a picture of them is drawn on, and where further vectors fall in the same picture.

axes = eigenvectors of (v - mean)' (v - mean), largest eigenvalue first;     place of v = (v - mean) axes
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class PrincipalAxes(NamedTuple):
    """mean [d], axes [d a], and the share of the variance along every axis [d], largest first."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: NDArray[np.float64]

    def places(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Where vectors [n d] fall: [n a]."""
        return (np.asarray(vectors, dtype=np.float64) - self.mean) @ self.axes


def principal_axes(vectors: NDArray[Any], axes: int = 2) -> PrincipalAxes:
    """The first principal axes of vectors [n d]; where d is smaller than `axes`, the rest are zero.

    An axis points to where its largest coordinate is positive, so that the same vectors give the same picture.

    >>> found = principal_axes(np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 1.0]]))
    >>> found.places(np.array([[2.0, 0.0]])).round(3).tolist()
    [[0.0, -0.333]]
    """
    centred = np.asarray(vectors, dtype=np.float64)
    mean = centred.mean(0)
    centred = centred - mean
    values, turned = np.linalg.eigh(centred.T @ centred)
    values, turned = values[::-1].clip(min=0), turned[:, ::-1]
    turned = turned * np.where(turned[np.abs(turned).argmax(0), np.arange(turned.shape[1])] < 0, -1.0, 1.0)
    kept = np.zeros((turned.shape[0], axes))
    kept[:, : min(axes, turned.shape[1])] = turned[:, :axes]
    return PrincipalAxes(mean, kept, values / max(values.sum(), np.finfo(np.float64).tiny))
