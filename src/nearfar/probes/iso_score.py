"""IsoScore: how evenly the variance is spread over all dimensions, from 0 (a line) to 1 (a ball).

The paper rotates the vectors to their principal axes, scales the variances to length sqrt(d), takes their distance from (1, ..., 1), and
maps it so that k equal variances of d give (k - 1) / (d - 1). All steps together are

        (P - 1) / (d - 1),    P = (sum of eigenvalues)^2 / sum of their squares

A common mean does not count, as it does in `partition_isotropy` and in the average cosine (`conformity`); nor does the scale.
Kin: `spectrum`, whose participation ratio is P.
Source: Rudman, Gillman, Rayne and Eickhoff 2022 (arXiv 2108.07344), algorithm 1.
"""

from __future__ import annotations

from typing import Any

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.spectra import covariance_spectrum, participation_ratio
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import embeddings

CARD = Card(
    name="iso_score",
    summary="how evenly the variance is spread over the dimensions, 0 to 1",
    related=("partition_isotropy", "spectrum"),
    papers=("2108.07344",),
)


def iso_score(vectors: Any) -> Figures:
    """IsoScore of vectors [n d]. Biased downwards for few rows: give many times as many as dimensions.

    >>> import torch
    >>> round(iso_score(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])).figure(), 6)
    1.0

    Raises UsageError for a single dimension; DataError for NaN, fewer than two rows, and constant vectors.
    """
    table = embeddings(vectors)
    dimension = table.shape[1]
    if dimension < 2:
        raise UsageError("in one dimension there is nothing to be even about", remedy="give vectors [n d], d > 1")
    effective = participation_ratio(covariance_spectrum(table))
    if not effective:
        raise DataError("all vectors are equal: no variance", where="vectors", remedy="look at `vital_signs`")
    score = (effective - 1) / (dimension - 1)
    return Figures(
        "iso_score", "iso_score", {"iso_score": score}, facts={"records": len(table), "dimension": dimension}
    )
