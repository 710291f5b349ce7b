"""Similarities: (queries, keys) -> scores [q k], larger is nearer.

A similarity may have a `prepare` step, done once on all rows before any tile (the cosine normalises there, so that a tile
is one matrix product). It may return (scores, channels) where channels are further [q k] matrices, for instance the
temperature of each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows

Scores = Tensor | tuple[Tensor, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Similarity:
    """`score(prepare(queries), prepare(keys))`; `prepare` acts on vectors [... d] and is done once a step."""

    name: str
    score: Callable[[Rows, Rows], Scores]
    prepare: Callable[[Tensor], Tensor] | None = None

    def __call__(self, queries: Rows, keys: Rows) -> Scores:
        return self.score(queries, keys)


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1)


def _dot(queries: Rows, keys: Rows) -> Tensor:
    return queries.vectors @ keys.vectors.T


def _negative_squared_distance(queries: Rows, keys: Rows) -> Tensor:
    q, k = queries.vectors, keys.vectors
    return 2 * q @ k.T - (q * q).sum(1)[:, None] - (k * k).sum(1)[None, :]


def _late_interaction(queries: Rows, keys: Rows) -> Tensor:
    """Sum over query tokens of the best key token (Khattab and Zaharia 2020, ColBERT); padding takes no part."""
    q, k = queries.vectors, keys.vectors
    if q.ndim != 3 or k.ndim != 3:
        raise UsageError(
            f"late interaction compares matrices [r t d], not {list(q.shape)} and {list(k.shape)}",
            remedy="let the encoder return a vector per token",
        )
    best = torch.einsum("qtd,kud->qktu", q, k)
    if keys.mask is not None:
        best = best.masked_fill(~keys.mask[None, :, None, :].bool(), -torch.inf)
    best = best.amax(3)
    if queries.mask is not None:
        best = best.masked_fill(~queries.mask[:, None, :].bool(), 0)
    return best.sum(2)


cosine = Similarity("cosine", _dot, _unit)
"""The cosine of the angle: vectors are brought to unit length once, then multiplied."""

dot = Similarity("dot", _dot)
"""The plain product."""

negative_squared_distance = Similarity("negative_squared_distance", _negative_squared_distance)
"""-|q - k|^2."""

late_interaction = Similarity("late_interaction", _late_interaction, _unit)
"""Rows of token vectors [r t d]: the sum over query tokens of their best key token."""


def bilinear(weight: Tensor) -> Similarity:
    """Q W k with a weight [d e], learned or fixed (CPC's map of one step)."""
    return Similarity("bilinear", lambda q, k: q.vectors @ weight @ k.vectors.T)


BY_NAME = {s.name: s for s in (cosine, dot, negative_squared_distance, late_interaction)}
