"""Mixed pairs (coin-flip mixup of ZeroVL): on one side, chosen by a coin, every vector is mixed with another's, and is as much the other's match.

        u_i = share x_i + (1 - share) x_p(i)           or the same of y; which, a fair coin says once a step
        l   = 1/2 [ CE(S, Y) + CE(S^T, Y) ],           S_ij = cos(u_i, y_j) / t,    Y = share Id + (1 - share) P
        share ~ Beta(alpha, alpha), one a step

The partners p are pairs of records, drawn anew each step (one record of an odd batch stays alone), so that P is its own inverse and one
Y serves both directions. Vectors are mixed as the encoders give them, before unit length. Where records have ids of their texts, a
row and a partner's row with equal texts are no negatives of each other, as everywhere. A single row a record and side.
Kin: `info_nce` under `paired` is this without mixing; `mixed_negatives` mixes keys that stay negatives; `mixed_barlow` mixes inputs.
Source: Cui et al. 2021 (ZeroVL, arXiv 2112.09331) with the authors' code as a brief of it tells: alpha 0.1, temperature 0.02, both matches in the
denominator. There the partner is the record at the other end of the (micro-)batch; here it is drawn from the whole batch. They mix
pictures as pixels and texts as vectors; here vectors on both sides, which for an encoder that sums its input is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.draws import Chance
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns, read, same
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean
from nearfar.objectives.scored import Scored

CARD = Card(
    name="mixed_pairs",
    summary="one side, by a coin, mixed with a partner's vectors; both are matches by their shares (ZeroVL)",
    related=("info_nce", "paired", "mixed_negatives", "mixed_barlow"),
)

PARTNER, SHARE = "partner", "share"
TEXTS = ("query", "document")


@dataclass(frozen=True)
class Shares(Relation):
    """The own record is a positive of weight `share`, the partner of the rest; a pair's weights add up to one."""

    def block(self, queries: Columns, keys: Columns) -> Block:
        record, others = read(queries, "record", "queries")[:, None], read(keys, "record", "keys")[None]
        own, partner = record == others, read(queries, PARTNER, "queries")[:, None] == others
        share = read(queries, SHARE, "queries")[:, None]
        positive = share * own + (1 - share) * partner
        return Block(positive, (1 - positive).masked_fill(_equal_texts(queries, keys, own) & ~(own | partner), 0))


def _equal_texts(queries: Columns, keys: Columns, like: Tensor) -> Tensor:
    """Whether a text of a row or of its partner is one of the other row's or of its partner's [q k]; never without ids of texts."""
    equal = torch.zeros_like(like)
    if not set(TEXTS) <= set(queries) & set(keys):
        return equal
    alike = same("query") | same("document") | same("query", "document")
    for q in (queries, _of_partner(queries)):
        for k in (keys, _of_partner(keys)):
            equal = equal | alike(q, k)
    return equal


def _of_partner(columns: Columns) -> Columns:
    return {name: columns[f"{PARTNER}_{name}"] for name in TEXTS}


class Mixing(Chance):
    """The heads of both sides; call `update()` once after each optimiser step."""

    def __init__(self, alpha: float, seed: int) -> None:
        super().__init__("mixed_pairs", seed)
        self.alpha = alpha

    def queries(self, table: Rows) -> Rows:
        """The rows of x with their partners, mixed if the coin says so."""
        return self._side(table, self._coin() < 0.5)

    def keys(self, table: Rows) -> Rows:
        """The rows of y, mixed if those of x are not."""
        return self._side(table, self._coin() >= 0.5)

    def _coin(self) -> float:
        return float(self.uniform("coin", 0))

    def _side(self, table: Rows, mixed: bool) -> Rows:
        record = read(table.columns, "record", "rows")
        if table.vectors.ndim != 2 or len(record.unique()) < len(record):
            raise UsageError(
                "a record has several rows, and its partner would be none of them",
                where="mixed_pairs",
                remedy="give one vector a record and side, without further views or negatives",
            )
        place = self._partners(record)
        share = self.beta(self.alpha, self.alpha, "share", torch.zeros(len(record), dtype=torch.long))
        share = share.to(table.vectors.device, table.vectors.dtype)
        vectors = table.vectors
        if mixed:
            vectors = share[:, None] * vectors + (1 - share[:, None]) * vectors[place]
        texts = {f"{PARTNER}_{name}": table.columns[name][place] for name in TEXTS if name in table.columns}
        return table.with_vectors(vectors).with_columns(**{PARTNER: record[place], SHARE: share}, **texts)

    def _partners(self, record: Tensor) -> Tensor:
        """The place of each row's partner [n]: by a draw of each record, the first with the last, the second with the last but one."""
        order = self.uniform("partner", record).argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = order.flip(0)
        return place


@rule(Card(name="cross_entropy", summary="the matches among all keys of a row", needs=("positive",)))
def cross_entropy(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """As `info_nce`."""
    return log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)


def mixed_pairs(*, temperature: float = 0.02, alpha: float = 0.1, x: str = "x", y: str = "y", seed: int = 0) -> Scored:
    """The term on two streams [n d] of the same records.

    temperature  divides the cosines
    alpha        of the beta distribution of the shares: towards 0 there is hardly a mixture
    x, y         the streams

    Raises UsageError for numbers that are not positive, and, when it is computed, for records with several rows.

    >>> import torch, nearfar as nf
    >>> x = torch.ones(8, 4)                                  # collapsed, mixed or not: log 8, chance level
    >>> round(float(nf.contrast(nf.mixed_pairs(), x, x)), 4)
    2.0794
    """
    if not (temperature > 0 and alpha > 0):
        raise UsageError(
            f"temperature {temperature}, alpha {alpha}", where="mixed_pairs", remedy="give numbers above zero"
        )
    mixing = Mixing(alpha, seed)
    return Scored(
        cross_entropy,
        Shares(),
        temperature=temperature,
        both_ways=True,
        head=mixing.queries,
        key_head=mixing.keys,
        queries_from=x,
        keys_from=y,
    )
