"""Dense alignment and uniformity: are matched places of two looks near, and do places spread, within a picture and between pictures?

        alignment           mean over pictures and places of |x_bs - y_bs|^2
        uniformity          log mean exp(-2 |x_p - x_q|^2) over all pairs of places
        uniformity_within   the same over pairs of one picture,    uniformity_across   over pairs of two

All are lower where they are better, and all vectors have length one. A network whose places all see the whole picture has places that are
alike within a picture: its uniformity within is near 0 while the one across may be good; one number for all pairs hides that.
Well aligned places that were matched at random mean collapse. Kin: `alignment_uniformity` has one vector a record.
Source: Moon et al. 2022 (arXiv 2210.08819) extend the two to dense features; of the paper the abstract was seen, so the three sets of pairs are
ours, as is that no scalar is made of them. Powers and t as in Wang and Isola 2020 (arXiv 2005.10242).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.outcome import Columns, Metric, Outcome

CARD = Card(
    name="dense_alignment_uniformity",
    summary="how near matched places of two looks are, and how evenly places spread, within pictures and between them",
    related=("alignment_uniformity", "place_network", "dense_effects"),
    papers=("2210.08819", "2005.10242"),
)

T = 2.0


def uniformity(columns: Columns) -> float:
    """Over all pairs of places."""
    return float(np.log(columns["potential"].mean()))


def uniformity_within(columns: Columns) -> float:
    """Over pairs of places of one picture."""
    return float(np.log(columns["potential_within"].mean()))


def uniformity_across(columns: Columns) -> float:
    """Over pairs of places of two pictures."""
    return float(np.log(columns["potential_across"].mean()))


METRICS: dict[str, Metric] = {
    "uniformity": uniformity,
    "uniformity_within": uniformity_within,
    "uniformity_across": uniformity_across,
}


def dense_alignment_uniformity(x: Any, y: Any) -> Outcome:
    """Of places [n p d] of n pictures, and of the same places [n p d] in another look.

    Exact over all pairs, one picture against all at a time: for a few hundred pictures. The columns hold the means of a picture's pairs.

    >>> import torch
    >>> x = torch.eye(2).expand(3, 2, 2)                     # the same two places in all pictures
    >>> found = dense_alignment_uniformity(x, x).figures()
    >>> found["alignment"], round(found["uniformity_within"], 3)
    (0.0, -4.0)

    Raises UsageError for shapes that do not fit, DataError for numbers that are not finite and vectors of zeros, and for fewer than two
    pictures or places.
    """
    first, second = (torch.as_tensor(np.asarray(v), dtype=torch.float64) for v in (x, y))
    if first.ndim != 3 or first.shape != second.shape:
        raise UsageError(
            f"places of shapes {list(first.shape)} and {list(second.shape)}", remedy="give two arrays [n p d] alike"
        )
    n, places, _ = first.shape
    if n < 2 or places < 2:
        raise DataError(f"{n} pictures of {places} places have no pairs", remedy="this needs 2 of both")
    for name, table in (("x", first), ("y", second)):
        if not bool(table.isfinite().all()) or not bool(table.any(2).all()):
            raise DataError("a place without a direction", where=name, remedy="give finite vectors that are not zero")
    first, second = F.normalize(first, dim=2), F.normalize(second, dim=2)
    flat, within, across = first.flatten(0, 1), np.empty(n), np.empty(n)
    for i, own in enumerate(first):
        potential = torch.exp(2 * T * (own @ flat.T - 1))
        mine = potential[:, i * places : (i + 1) * places]
        within[i] = float(mine.sum() - places) / (places * (places - 1))  # each with itself: exp(0)
        across[i] = float(potential.sum() - mine.sum()) / (places * (n - 1) * places)
    inside, outside = places - 1, (n - 1) * places
    return Outcome(
        "dense_alignment_uniformity",
        "alignment",
        "pictures",
        {
            "alignment": (first - second).square().sum(2).mean(1).numpy(),
            "potential": (inside * within + outside * across) / (inside + outside),
            "potential_within": within,
            "potential_across": across,
        },
        means=("alignment",),
        metrics=METRICS,
        higher=dict.fromkeys(("alignment", *METRICS), False),
        facts={"pictures": n, "places": places},
    )
