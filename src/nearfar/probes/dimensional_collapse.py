"""Dimensional collapse: directions of the embedding space in which no record differs from another.

        C = sum_i (z_i - mean)(z_i - mean)^T / n,    a direction is collapsed where its singular value <= tolerance times the largest

Vectors may be far apart and yet fill a subspace only: InfoNCE leaves directions dead where augmentation varies more than
the data do, and through several linear layers. Measure what the loss sees (behind the projector) and what is used (before it): the
projector is where collapse is meant to happen.
Source: Jing, Vincent, LeCun and Tian 2022 (arXiv 2110.09348), figure 2, who read the number off a plot of ln singular values; the
tolerance of 1e-6 (a thousandth in length) is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.spectra import covariance_spectrum
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import as_array, embeddings

CARD = Card(
    name="dimensional_collapse",
    summary="how many directions of the embedding space are dead",
    related=("spectrum", "rank_me", "vicreg", "barlow"),
    papers=("2110.09348",),
)


def dimensional_collapse(vectors: Any, tolerance: float = 1e-6) -> Figures:
    """Collapsed and live directions of vectors [n d]; the curve is log10 of the singular values of the covariance, largest first.

    n vectors span at most n - 1 directions, so only min(n - 1, d) are counted: `facts` say how many those are. On the curve no value
    lies below 1e-15 of the largest, which is rounding; constant vectors have no curve.

    >>> import torch
    >>> flat = torch.randn(100, 3) @ torch.randn(3, 8)
    >>> dimensional_collapse(flat).figures()
    {'collapsed': 5.0, 'live': 3.0}

    Raises UsageError unless 0 < tolerance < 1; DataError for NaN and fewer than two rows.
    """
    if not 0 < tolerance < 1:
        raise UsageError(
            f"tolerance = {tolerance}", where="tolerance", remedy="give a share of the largest value, as 1e-6"
        )
    table = embeddings(vectors)
    seen = min(len(table) - 1, table.shape[1])
    values = as_array(covariance_spectrum(table))[:seen]
    live = int((values > tolerance * values[0]).sum())
    curve = np.log10(np.maximum(values, 1e-15 * values[0])) if live else np.empty(0)
    return Figures(
        "dimensional_collapse",
        "collapsed",
        {"collapsed": float(seen - live), "live": float(live)},
        {"log10_singular_value": curve},
        {"collapsed": False},
        {"records": len(table), "dimension": table.shape[1], "counted": seen, "tolerance": tolerance},
    )
