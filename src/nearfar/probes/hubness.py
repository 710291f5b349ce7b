"""Hubness: a few records are among the nearest of nearly everyone, and many are nobody's.

        N_i         how often i is among the k nearest of the others (its k-occurrence; its mean is k)
        skewness    mean (N - k)^3 / (standard deviation of N)^3           0 for an even share, large with hubs
        robin_hood  sum_i |N_i - k| / (2 sum_i N_i)                        the share of neighbour places to be moved for equality
        anti_hubs   share of records with N_i = 0

High dimension makes hubs, and what search returns to many queries is one of them. Kin: `conformity`, which hubs have much of.
Source: Radovanovic, Nanopoulos and Ivanovic, JMLR 11, 2010 (k-occurrence, skewness; k = 10); Feldbauer, Leodolter, Plant and Flexer,
"Fast approximate hubness reduction for large high-dimensional data", 2018 (Robin Hood index).

An interval over records takes the neighbours as given; it says nothing about other records to be neighbours of.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import at_least
from nearfar.probes.shared.tensors import directions, other_neighbours

CARD = Card(
    name="hubness",
    summary="whether few records are neighbours of nearly all: skewness of the k-occurrence, Robin Hood index",
    related=("neighbourhood_overlap", "conformity", "retrieval"),
)


def hubness(vectors: Any, queries: Any = None, *, k: int = 10) -> Outcome:
    """Hubness of vectors [n d] by cosine, among themselves or as what `queries` [q d] find. Exact, in bounded memory.

    >>> import torch
    >>> star = torch.cat([torch.ones(1, 4), 1 + torch.eye(4)])           # the middle is everyone's neighbour
    >>> found = hubness(star, k=1)
    >>> found.columns["occurrence"].tolist(), round(found.figure("robin_hood"), 6)
    ([4.0, 1.0, 0.0, 0.0, 0.0], 0.6)

    Raises UsageError unless 1 <= k <= what there is to find, and for queries of another dimension; DataError for NaN and vectors
    of zeros.
    """
    points = directions(vectors)
    if queries is None:
        found, asked = other_neighbours(points, k), len(points)
    else:
        given = directions(queries, "queries", least=1, width=points.shape[1])
        at_least(k, 1, len(points), "k", "neighbours")
        found, asked = nearest_chunked(given.float().numpy(), points.float().numpy(), k)[0], len(given)
    occurrence = np.bincount(found.ravel(), minlength=len(points)).astype(np.float64)
    return Outcome(
        "hubness",
        "skewness",
        "records",
        {"occurrence": occurrence, "anti_hubs": (occurrence == 0).astype(np.float64)},
        means=("anti_hubs",),
        metrics=METRICS,
        swapped=("occurrence", "anti_hubs"),
        higher=dict.fromkeys(("skewness", "robin_hood", "anti_hubs"), False),
        facts={"k": k, "records": len(points), "queries": asked},
    )


def skewness(columns: Columns) -> float:
    """The third standardised moment of the occurrences (over n); 0 where all are equal."""
    apart = columns["occurrence"] - columns["occurrence"].mean()
    deviation = np.sqrt((apart**2).mean())
    return float((apart**3).mean() / deviation**3) if deviation > 0 else 0.0


def robin_hood(columns: Columns) -> float:
    """Half the sum of the distances from the mean, over the sum; 0 where all are equal."""
    occurrence = columns["occurrence"]
    total = occurrence.sum()
    return float(np.abs(occurrence - occurrence.mean()).sum() / (2 * total)) if total > 0 else 0.0


METRICS = {"skewness": skewness, "robin_hood": robin_hood}
