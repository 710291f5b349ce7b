"""The share of the gradient that each negative carries, and how many negatives carry it.

        r_ij = exp(s_ij / tau) / sum_{k negative of i} exp(s_ik / tau)        the positive left out; sums to 1 in every row
        d InfoNCE_i / d s_ij = r_ij w_i / tau,   d InfoNCE_i / d s_ii = - w_i / tau,   w_i = 1 - softmax of the positive

        effective_negatives  exp(-sum_j r_ij ln r_ij)      all of them as tau grows, one as it falls
        hardest_share        max_j r_ij
        hardest_percent      what the nearest hundredth (at least one) of the negatives carries
        pull                 w_i / tau, the length of the pull on the positive: what is left to learn from the row

A large batch is of use only as far as its negatives carry something. Kin: `temperature_behaviour` (the same over temperatures),
`hardest` and `reweigh` (edits that change the shares).
Source: Wang and Liu 2021 (arXiv 2012.09740), sections 3.1 and 3.2 (shares); their entropy as a number of negatives is ours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.inputs import classes
from nearfar.probes.shared.tensors import TILE_BYTES, as_array, directions, strips

CARD = Card(
    name="negative_shares",
    summary="the share of the gradient that each negative carries, and how many carry it",
    related=("temperature_behaviour", "info_nce", "hardest", "reweigh"),
    papers=("2012.09740",),
)

FIGURES = ("effective_negatives", "hardest_share", "hardest_percent", "pull")


def negative_shares(
    queries: Any, keys: Any, temperature: float = 0.07, *, labels: Any = None, tile_bytes: int = TILE_BYTES
) -> Outcome:
    """Figures of queries [n d] against keys [n d] by cosine; key i is the positive of query i, all others are its negatives.

    temperature   of the training; 0.07 is that of MoCo and of CLIP's beginning
    labels        [n]; keys with the label of the query are no negatives

    Exact, in tiles of bounded memory. At most n - 1 negatives can be effective, which `facts` give as their mean number.

    >>> import torch
    >>> {name: round(value, 4) for name, value in negative_shares(torch.eye(5), torch.eye(5), 0.5).figures().items()}
    {'effective_negatives': 4.0, 'hardest_share': 0.25, 'hardest_percent': 0.25, 'pull': 0.7024}

    Raises UsageError for tables of different shapes and a temperature that is not positive; DataError for a row without a negative,
    NaN, and vectors of zeros.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise UsageError(f"a temperature of {temperature}", where="temperature", remedy="give one above zero, as 0.07")
    x = directions(queries, "queries").double()
    y = directions(keys, "keys", length=len(x), width=x.shape[1]).double()
    n = len(x)
    codes = torch.from_numpy(np.arange(n) if labels is None else classes(labels, "labels", length=n, least=1).number)
    alone = int(torch.bincount(codes).max())
    if alone == n:
        raise DataError("all records have one label: there is no negative", where="labels", remedy="give more classes")
    columns = {name: np.empty(n) for name in (*FIGURES, "negatives")}
    for rows in strips(n, n, tile_bytes):
        scores = x[rows] @ y.T / temperature
        positive = scores.diagonal(rows.start).clone()
        scores.masked_fill_(codes[rows, None] == codes[None, :], -torch.inf)
        for name, values in _figures(scores, positive, temperature).items():
            columns[name][rows] = as_array(values)
    return Outcome(
        "negative_shares",
        "effective_negatives",
        "queries",
        columns,
        means=FIGURES,
        higher={"hardest_share": False, "hardest_percent": False, "pull": False},
        facts={"temperature": temperature, "negatives": float(columns["negatives"].mean())},
    )


def _figures(scores: Tensor, positive: Tensor, temperature: float) -> dict[str, Tensor]:
    """Of rows of scores [q n] over the temperature, -inf where there is no negative, and of their positives [q]."""
    negatives = (scores > -torch.inf).sum(1)
    total = scores.logsumexp(1)
    shares = (scores - total[:, None]).exp()
    nearest = shares.topk(max(1, math.ceil(int(negatives.max()) / 100)), 1).values
    wanted = (negatives / 100).ceil().clamp_min(1).long()
    return {
        "negatives": negatives,
        "effective_negatives": torch.special.entr(shares).sum(1).exp(),
        "hardest_share": nearest[:, 0],
        "hardest_percent": nearest.cumsum(1).gather(1, wanted[:, None] - 1)[:, 0],
        "pull": torch.sigmoid(total - positive) / temperature,
    }
