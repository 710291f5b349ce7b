"""`queued`: a query's own fresh key is its positive, past keys of other records are its negatives; its batch mates are neither.

The relation of momentum contrast: keys are those of the batch and those of a memory, told apart by the column `stale`, which
`queue` writes. A stale key of the query's own record is no pair at all, so a queue may be longer than the data.
Kin: `paired` would have the batch mates compete too, and take a record's stale keys for further positives.
Source: He et al. 2020 (arXiv 1911.05722), algorithm 1. There a stale key of the own record is a negative, which is rare among
millions of records and common among thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, KeyHas, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="queued",
    summary="own fresh key: positive; past keys of other records: negative; batch mates and own past keys: left out",
    related=("queue", "paired"),
    needs_columns=("record", "stale"),
)


@dataclass(frozen=True)
class Queued(Relation):
    """The relation that `queued` makes."""

    def block(self, queries: Columns, keys: Columns) -> Block:
        same, stale = Same("record")(queries, keys), KeyHas("stale")(queries, keys)
        return Block(same & ~stale, ~same & stale)


def queued() -> Relation:
    """Own key of this step: positive. Keys with a true `stale` column, of other records: negative. All else is left out.

    >>> import torch, nearfar as nf
    >>> q = {"record": torch.tensor([0, 1])}
    >>> k = {"record": torch.tensor([0, 1, 0, 2]), "stale": torch.tensor([False, False, True, True])}
    >>> block = nf.queued()(q, k)
    >>> block.pos.int().tolist(), block.neg.int().tolist()
    ([[1, 0, 0, 0], [0, 1, 0, 0]], [[0, 0, 0, 1], [0, 0, 1, 1]])
    """
    return Queued()
