"""`paired`: a query and a key of the same record are positives, all others negatives.

The relation of two towers (question and answer, image and caption). With `column` the pairs are told by another column,
so that equal documents under different records are no false negatives: `paired(column="document")`.
Kin: `multi_view` for several views in one table, `labelled` for classes, `explicit_negatives` adds given negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="paired",
    summary="same record: positive; every other key: negative",
    related=("multi_view", "labelled", "explicit_negatives"),
    needs_columns=("record",),
)


@dataclass(frozen=True)
class Paired(Relation):
    """The relation that `paired` makes."""

    column: str = "record"

    def block(self, queries: Columns, keys: Columns) -> Block:
        same = Same(self.column)(queries, keys)
        return Block(same, ~same)


def paired(column: str = "record") -> Relation:
    """Query and key with the same entry in `column` [r] are positives, all others negatives.

    >>> import torch, nearfar as nf
    >>> record = {"record": torch.tensor([0, 1])}
    >>> nf.paired()(record, record).pos.tolist()
    [[True, False], [False, True]]
    """
    return Paired(column)
