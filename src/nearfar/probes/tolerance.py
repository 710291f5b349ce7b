"""Tolerance: how near records of one class stay to one another, which is what uniformity is paid for with.

        tolerance = mean_{i != j} x_i . x_j 1(l_i = l_j)              as printed: over all pairs
        within    = mean over pairs of one class of x_i . x_j
        between   = mean over pairs of two classes of x_i . x_j

The printed form divides by all pairs and shrinks with the number of classes by itself; `within` can be compared between data sets.
Labels serve here as a stand-in for "means the same"; a contrastive loss without labels pushes such records apart all the same, the
more the lower its temperature. Kin: `alignment_uniformity` (the other end of the trade), `temperature_behaviour` (both, over temperatures).
Source: Wang and Liu 2021 (arXiv 2012.09740), section 3.3. The other two figures are ours.

The columns hold each record's part in a figure, with which an interval is right although pairs share records (maths/pair_means.py).
`to_class`, the mean cosine to the others of its class, is what to sort records by; NaN for a record that is alone in its class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.pair_means import projected, projected_ratio
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.inputs import classes
from nearfar.probes.shared.tensors import as_array, directions

CARD = Card(
    name="tolerance",
    summary="how near records of one class stay to one another",
    related=("alignment_uniformity", "temperature_behaviour", "class_collapse"),
    papers=("2012.09740",),
)


def tolerance(vectors: Any, labels: Any) -> Outcome:
    """Tolerance of vectors [n d] with labels [n], and the mean cosines within and between classes.

    Sums over classes make it linear in n. `facts` say how many records are alone in their class.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> {name: round(value, 6) for name, value in tolerance(x, ["a", "a", "b", "b"]).figures().items()}
    {'within': 1.0, 'tolerance': 0.333333, 'between': 0.0}

    Raises UsageError for labels of another length; DataError for a single class, classes of one record each, NaN, vectors of zeros.
    """
    points = directions(vectors).double()
    n = len(points)
    codes = classes(labels, "labels", length=n).number
    sizes = np.bincount(codes)
    partners = sizes[codes] - 1
    if not partners.any():
        raise DataError("no class has two records", where="labels", remedy="give coarser labels, or more records")
    sums = points.new_zeros(len(sizes), points.shape[1]).index_add_(0, torch.from_numpy(codes), points)
    itself = points.square().sum(1)
    own = as_array((points * sums[codes]).sum(1) - itself)
    every = as_array(points @ sums.sum(0) - itself)
    return Outcome(
        "tolerance",
        "within",
        "records",
        {
            "within": projected_ratio(own, partners.astype(float)),
            "tolerance": projected(own / (n - 1)),
            "between": projected_ratio(every - own, (n - 1 - partners).astype(float)),
            "to_class": np.where(partners > 0, own / np.maximum(partners, 1), np.nan),
        },
        means=("within", "tolerance", "between"),
        higher={"between": False},
        facts={"classes": len(sizes), "alone": int((partners == 0).sum())},
    )
