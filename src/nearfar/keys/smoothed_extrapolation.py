"""Smoothed extrapolation (Hallucinator): further queries, pushed away from their own key and passed through a small network that learns.

        r ~ U(0, spread)                              one a step
        e = (1 + r) q - r k / |k|
        g = W3 relu(W2 relu(W1 [q, e]))               with biases; 2 d wide between
        scores    cos(g, m)                           of every key m, the own one k among them

A similarity, because e is made of a pair: the row's own key is found by `record` among fresh keys. It scores g in the place of q, so it makes a
term of its own beside one that scores q, which keeps q, g and k of one record from competing. q goes in with the length that it has,
the key with length one; the gradient reaches q and the network, and the key unless it is a teacher's.
Kin: `extrapolated` pushes both halves apart and smooths nothing; `hallucinated_positives` are keys, and nothing learns there.
Source: Wu et al. 2023 (arXiv 2307.12168) and the authors' code for MoCo, `spread` 0.1. There the network of 128 dimensions is 256 wide, as here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.draws import Chance
from nearfar.core.errors import UsageError
from nearfar.core.partner import partner
from nearfar.core.rows import Rows
from nearfar.maths.layers import perceptron
from nearfar.maths.similarity import unit

CARD = Card(
    name="smoothed_extrapolation",
    summary="scores of further queries, pushed away from their key and smoothed by a network that learns",
    related=("extrapolated", "hallucinated_positives", "projector"),
)


class SmoothedExtrapolation(Chance):
    """A similarity that learns, (queries, keys) -> scores [q k]; call `update()` once after each optimiser step."""

    def __init__(self, dimension: int, spread: float, seed: int) -> None:
        super().__init__("smoothed_extrapolation", seed)
        self.dimension, self.spread = dimension, spread
        self.network = nn.Sequential(*perceptron(2 * dimension, 2 * dimension, dimension, 3))

    def forward(self, queries: Rows, keys: Rows) -> Tensor:
        """Cosines of further queries with keys."""
        q = queries.vectors
        if q.ndim != 2 or q.shape[1] != self.dimension:
            raise UsageError(
                f"vectors {list(q.shape)} for a network of {self.dimension} dimensions",
                where="smoothed_extrapolation",
                remedy="give rows [n d] of the dimension that it was made for",
            )
        k = keys.vectors[partner(queries.columns, keys.columns)]
        share = self.spread * self.uniform("share", torch.zeros(1, dtype=torch.long, device=q.device)).to(q.dtype)
        pushed = (1 + share) * q - share * unit(k)
        return unit(self.network(torch.cat([q, pushed], 1))) @ unit(keys.vectors).T


def smoothed_extrapolation(
    *, dimension: int | None = None, spread: float = 0.1, seed: int = 0
) -> SmoothedExtrapolation:
    """Scores of further queries, for `similarity=` of a term of their own, in one direction.

    dimension  of the vectors; a recipe knows it
    spread     the most by which a query is pushed away from its key

    Raises UsageError for a dimension below one or a spread below zero, for vectors of another dimension, rows without `record`, or
    a query whose pair is not among the keys.

    >>> import torch, nearfar as nf
    >>> x, y = torch.randn(4, 8, requires_grad=True), torch.randn(4, 8)
    >>> further = nf.smoothed_extrapolation(dimension=8)
    >>> nf.contrast(nf.info_nce, x, y, nf.paired(), similarity=further, temperature=0.2).backward()
    >>> bool(x.grad.any()), all(bool(p.grad.any()) for p in further.parameters())
    (True, True)
    """
    if dimension is None or dimension < 1 or spread < 0:
        raise UsageError(
            f"{dimension} dimensions, a spread of {spread}",
            where="smoothed_extrapolation",
            remedy="give the dimension of the vectors, and a spread of zero or more",
        )
    return SmoothedExtrapolation(dimension, spread, seed)
