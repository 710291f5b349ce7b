"""The cloud of one modality before normalisation: how far off the origin, how thin a shell, how far from a ball.

        offset     |m| / sigma,  sigma = sqrt(tr S)            m the mean, S the covariance (over n)
        thickness  standard deviation of rho over mean(rho),  rho = |v - m|      near 0: the cloud is a shell
        spread     standard deviation of S's eigenvalues over their mean, 0 for a ball
        tilt       sum_{i != j} S_ij^2 / sum_ij S_ij^2         0 where the axes are those of the coordinates

In many dimensions any cloud is a shell; compare with a Gaussian of the same covariance, whose thickness is about
sqrt(tr S^2 / 2) / tr S. Kin: `conformity` (same paper), `spectrum`, `modality_gap`.
Source: Levi and Gilboa, "The Double-Ellipsoid Geometry of CLIP", 2024 (arXiv 2411.14517); spread and tilt as single numbers are ours.
"""

from __future__ import annotations

from typing import Any

import torch

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.spectra import STRIP
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import embeddings

CARD = Card(
    name="ellipsoid",
    summary="offset, thickness, spread and tilt of the cloud of vectors before normalisation",
    related=("conformity", "spectrum", "modality_gap"),
    papers=("2411.14517",),
)


def ellipsoid(vectors: Any) -> Figures:
    """Figures of vectors [n d], given before normalisation. Needs the d-by-d covariance.

    >>> import torch
    >>> ellipsoid(torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0], [0.0, -4.0]])).figures()
    {'offset': 0.0, 'thickness': 0.0, 'spread': 0.0, 'tilt': 0.0}

    Raises DataError for NaN, fewer than two rows, and vectors that are all equal.
    """
    table = embeddings(vectors)
    mean = table.mean(0, dtype=torch.float64)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    distances = []
    for rows in table.split(max(1, STRIP // len(mean))):
        strip = rows.double() - mean
        covariance += strip.T @ strip / len(table)
        distances.append(strip.norm(dim=1))
    distance, total = torch.cat(distances), covariance.trace()
    if not float(total) > 0:
        raise DataError("all vectors are equal: they have no shape", where="vectors", remedy="look at `vital_signs`")
    mass = covariance.square().sum()
    # eigenvalues have the mean tr S / d and the mean square tr S^2 / d
    uneven = (mass / len(mean) - (total / len(mean)).square()).clamp_min(0).sqrt() / (total / len(mean))
    return Figures(
        "ellipsoid",
        "offset",
        {
            "offset": float(mean.norm() / total.sqrt()),
            "thickness": float(distance.std(correction=0) / distance.mean()),
            "spread": float(uneven),
            "tilt": float(1 - covariance.diagonal().square().sum() / mass),
        },
        higher=dict.fromkeys(("offset", "thickness", "spread", "tilt"), False),
        facts={"records": len(table), "dimension": len(mean), "radius": float(distance.mean())},
    )
