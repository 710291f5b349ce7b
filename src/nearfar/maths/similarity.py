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

from nearfar.core.errors import UsageError
from nearfar.core.predicate import read
from nearfar.core.rows import Rows

Scores = Tensor | tuple[Tensor, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Similarity:
    """`score(prepare(queries), prepare(keys))`; `prepare` acts on vectors [... d] and is done once a step.

    `scales` says that vectors of one side times a positive number give scores times that number, as products do; the
    temperature then divides the vectors of a tile instead of its scores. `symmetric` says that exchanging the two sides
    transposes the scores; keys against queries then need no transposed matrix.
    """

    name: str
    score: Callable[[Rows, Rows], Scores]
    prepare: Callable[[Tensor], Tensor] | None = None
    scales: bool = False
    symmetric: bool = False

    def __call__(self, queries: Rows, keys: Rows) -> Scores:
        return self.score(queries, keys)


def inverse_length(vectors: Tensor) -> Tensor:
    """[... 1]: one over the length of each vector, and zero for a zero vector, which has no direction to learn."""
    length = vectors.norm(dim=-1, keepdim=True, dtype=torch.promote_types(vectors.dtype, torch.float32))
    there = length > torch.finfo(length.dtype).tiny
    return torch.where(there, 1 / torch.where(there, length, 1), 0)


def unit(vectors: Tensor) -> Tensor:
    """Vectors [... d] of length one; a zero vector stays zero and gets the gradient zero.

    torch's normalize gives it a gradient of up to 1e12, which is no direction either.
    """
    return vectors * inverse_length(vectors).to(vectors.dtype)


def _dot(queries: Rows, keys: Rows) -> Tensor:
    q, k = _single(queries, keys)
    return q @ k.T


def _single(queries: Rows, keys: Rows) -> tuple[Tensor, Tensor]:
    """Vectors [q d] and [k d]: one a row."""
    q, k = queries.vectors, keys.vectors
    if q.ndim != 2 or k.ndim != 2:
        raise UsageError(
            f"rows of many vectors, {list(q.shape)} and {list(k.shape)}, have no single score",
            where="similarity",
            remedy="compare them by late_interaction, or let the encoder pool them (pooling other than tokens)",
        )
    return q, k


def _negative_squared_distance(queries: Rows, keys: Rows) -> Tensor:
    q, k = _single(queries, keys)
    return 2 * q @ k.T - (q * q).sum(1)[:, None] - (k * k).sum(1)[None, :]


def _negative_distance(queries: Rows, keys: Rows) -> Tensor:
    squared = -_negative_squared_distance(queries, keys)
    # The root has no slope at zero: a vector against itself gets distance and gradient zero instead of nan.
    apart = squared > 0
    return -torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)


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


cosine = Similarity("cosine", _dot, unit, scales=True, symmetric=True)
"""The cosine of the angle: vectors are brought to unit length once, then multiplied."""

dot = Similarity("dot", _dot, scales=True, symmetric=True)
"""The plain product."""

negative_squared_distance = Similarity("negative_squared_distance", _negative_squared_distance, symmetric=True)
"""-|q - k|^2."""

negative_distance = Similarity("negative_distance", _negative_distance, symmetric=True)
"""-|q - k|, the Euclidean distance with a minus sign; 0 is the score of identical vectors."""

late_interaction = Similarity("late_interaction", _late_interaction, unit, scales=True)
"""Rows of token vectors [r t d]: the sum over query tokens of their best key token."""


def bilinear(weight: Tensor) -> Similarity:
    """Q W k with a weight [d e], learned or fixed (CPC's map of one step)."""
    return Similarity("bilinear", lambda q, k: q.vectors @ weight @ k.vectors.T, scales=True)


def with_teacher(
    similarity: Similarity, column: str = "teacher", key_column: str = "", temperature: float = 1.0
) -> Similarity:
    """`similarity` that also measures a teacher's opinion of each pair: the channel "teacher" [q k], without gradient.

    The teacher's vectors are a column [r e] of both tables (of the keys `key_column`, if it has another name there); its
    opinion is their cosine divided by `temperature`. Read by the rules `relation_distillation`,
    `off_diagonal_distillation` and `list_mle`.

    Raises UsageError for a temperature that is not positive, a missing column, or one that holds no vectors.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.eye(4), teacher=torch.eye(4))
    >>> float(nf.contrast(nf.relation_distillation, x, relation=nf.paired(), similarity=nf.with_teacher(nf.cosine)))
    0.0
    """
    if not temperature > 0:
        raise UsageError(f"a teacher's temperature of {temperature}", remedy="give one above zero")

    def measured(queries: Rows, keys: Rows) -> Scores:
        made = similarity(queries, keys)
        scores, channels = made if isinstance(made, tuple) else (made, {})
        with torch.no_grad():
            first = _teacher(queries, column, "queries").to(scores.dtype)
            second = _teacher(keys, key_column or column, "keys").to(scores.dtype)
            opinion = unit(first) @ unit(second).T / temperature
        return scores, {**channels, "teacher": opinion}

    return Similarity(f"{similarity.name} with a teacher", measured, similarity.prepare)


def _teacher(table: Rows, column: str, side: str) -> Tensor:
    vectors = read(table.columns, column, side)
    if vectors.ndim != 2:
        raise UsageError(
            f"the column {column!r} of the {side} has shape {list(vectors.shape)}",
            remedy="give the teacher's vectors, [r e]",
        )
    return vectors


def log_weighted(similarity: Similarity, log_weight: Callable[[Rows, Rows], Tensor]) -> Similarity:
    """`similarity` and the logarithm of a weight of every pair, (queries, keys) -> [q k], with gradient, as channel "log_weight".

    A weight w of a pair is log w on its score *after* the temperature, hence a channel and no sum: `weighted_negatives` reads
    it. The function sees rows as the similarity prepared them (for the cosine, of unit length).
    """

    def score(queries: Rows, keys: Rows) -> Scores:
        made = similarity(queries, keys)
        scores, channels = made if isinstance(made, tuple) else (made, {})
        return scores, {**channels, "log_weight": log_weight(queries, keys)}

    return Similarity(f"log_weighted {similarity.name}", score, similarity.prepare)


BY_NAME = {s.name: s for s in (cosine, dot, negative_squared_distance, negative_distance, late_interaction)}
