"""The spectrum of a representation: the variances along its principal directions, and how many of them count.

        effective_rank       exp(-sum p ln p),  p = eigenvalues of the covariance / their sum
        participation_ratio  (sum of eigenvalues)^2 / sum of their squares
        directions_90, _99   how many hold 90 and 99 % of the variance
        first_share          what the largest one holds

All are 1 where everything lies on a line, and the number of dimensions where all directions are equal; 0 for constant vectors. The first
is what `vital_signs` watches during training. Kin: `rank_me` (singular values, not centred), `dimensional_collapse` (counts dead
directions), `iso_score` (the participation ratio on a scale from 0 to 1).
Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007 (of singular values there; of eigenvalues of the covariance here, as the
entropy of the variance).
"""

from __future__ import annotations

from typing import Any

from nearfar.core.card import Card
from nearfar.maths.spectra import covariance_spectrum, directions, entropy_rank, participation_ratio
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import as_array, embeddings

CARD = Card(
    name="spectrum",
    summary="variances along the principal directions, and the effective rank",
    related=("rank_me", "dimensional_collapse", "iso_score", "vital_signs"),
)


def spectrum(vectors: Any) -> Figures:
    """Spectrum of vectors [n d]; the curve `eigenvalue` [min(n, d)] is that of the covariance (over n), largest first.

    At most n - 1 directions can be seen: give several times as many rows as dimensions.

    >>> import torch
    >>> found = spectrum(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> round(found.figure("effective_rank"), 6), found.curves["eigenvalue"].tolist()
    (2.0, [0.5, 0.5])

    Raises DataError for NaN and fewer than two rows.
    """
    table = embeddings(vectors)
    values = covariance_spectrum(table)
    total = float(values.sum())
    return Figures(
        "spectrum",
        "effective_rank",
        {
            "effective_rank": entropy_rank(values),
            "participation_ratio": participation_ratio(values),
            "directions_90": float(directions(values, 0.9)),
            "directions_99": float(directions(values, 0.99)),
            "first_share": float(values[0]) / total if total > 0 else 1.0,
        },
        {"eigenvalue": as_array(values)},
        {"first_share": False},
        {"records": len(table), "dimension": table.shape[1]},
    )
