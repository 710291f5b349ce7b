"""Conformity: how common a record is among the others, as its mean cosine to them.

        C_j = mean_{k != j} u_j . u_k = (N g . u_j - 1) / (N - 1),    u = v / |v|,  g = mean u

Exact in one pass. Its mean over records is the average cosine by which anisotropy is often stated (Ethayarajh 2019, arXiv 1909.00512).
The paper estimates it by the cosine to the mean of the vectors before normalisation; that the two correlate is nearly an identity
(an off-centre Gaussian gives 0.9997), so `estimate` is reported and proves nothing. `conformity_divergence` compares how two
modalities are distributed; `gap_sweep` does that along the path that closes their gap. Kin: `hubness` (common by neighbours), `ellipsoid`.
Source: Levi and Gilboa, "The Double-Ellipsoid Geometry of CLIP", 2024 (arXiv 2411.14517). The bins of the histograms are ours; the
divergence depends on them, the Wasserstein distance does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.pair_means import projected
from nearfar.maths.rank_correlation import pearson
from nearfar.probes.figures import Figures
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.tensors import as_array, directions, embeddings

CARD = Card(
    name="conformity",
    summary="how common each record is: its mean cosine to the others",
    related=("ellipsoid", "modality_gap", "hubness"),
    public=("conformity", "conformity_divergence"),
    papers=("1909.00512", "2411.14517"),
)

PSEUDO_COUNT = 0.5  # a record in every bin, so that a bin empty on one side costs no infinity (Jeffreys)


def conformity(vectors: Any) -> Outcome:
    """Conformity of each of the vectors [n d], best given before normalisation.

    conformity       of each record
    average_cosine   the mean of that; its column holds records' parts in it, with which an interval is right (maths/pair_means.py)
    to_mean          cosine to the mean vector, the paper's estimate
    estimate         Pearson correlation of conformity with that

    >>> import torch
    >>> found = conformity(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    >>> found.columns["conformity"].tolist()
    [0.5, 0.5, 0.0]

    Raises DataError for NaN, vectors of zeros, and fewer than two rows.
    """
    values = conformities(directions(vectors))
    raw = embeddings(vectors).double()
    mean = raw.mean(0)
    spread = as_array(raw @ mean / (raw.norm(dim=1) * mean.norm()).clamp_min(1e-300))
    return Outcome(
        "conformity",
        "average_cosine",
        "records",
        {"average_cosine": projected(values), "conformity": values, "to_mean": spread},
        means=("average_cosine", "to_mean"),
        metrics={"estimate": estimate},
        higher={"average_cosine": False, "to_mean": False},
        facts={"records": len(values)},
    )


def estimate(columns: Columns) -> float:
    """Pearson correlation of conformity with the cosine to the mean vector; 0 where one of them is constant."""
    return pearson(columns["conformity"], columns["to_mean"])


METRICS = {"estimate": estimate}


def conformity_divergence(x: Any, y: Any, bins: int = 50) -> Figures:
    """How differently two sets of vectors [n d] and [m d] are distributed by conformity, each among its own.

    divergence   Kullback-Leibler, of x from y, of histograms on shared edges; half a record is added to each bin
    wasserstein  the mean distance of equal quantiles, free of bins

    >>> import torch
    >>> conformity_divergence(torch.eye(4), torch.eye(4)).figures()
    {'divergence': 0.0, 'wasserstein': 0.0}

    Raises UsageError for fewer than two bins; DataError as `conformity` does.
    """
    if bins < 2:
        raise UsageError(f"{bins} bins", where="bins", remedy="take two or more")
    first, second = conformities(directions(x, "x")), conformities(directions(y, "y"))
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    p, q = (np.histogram(side, edges)[0] + PSEUDO_COUNT for side in (first, second))
    p, q = p / p.sum(), q / q.sum()
    values = {"divergence": float((p * np.log(p / q)).sum()), "wasserstein": _wasserstein(first, second)}
    return Figures(
        "conformity_divergence",
        "divergence",
        values,
        {"edge": edges[:-1], "x": p, "y": q},
        dict.fromkeys(values, False),
        {"bins": bins},
    )


def conformities(points: Tensor) -> NDArray[np.float64]:
    """Of points [n d] of length one."""
    points = points.double()
    return as_array((points @ points.sum(0) - points.square().sum(1)) / (len(points) - 1))


def _wasserstein(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The area between the two distribution functions."""
    places = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(side), places[:-1], side="right") / len(side) for side in (first, second)]
    return float((np.abs(below[0] - below[1]) * np.diff(places)).sum())
