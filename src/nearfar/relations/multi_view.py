"""`multi_view`: other views of the same record are positives, views of other records negatives, a view itself neither.

The relation of SimCLR and its many-view relatives: one table holds two or more views of every record, and is contrasted with
itself. Named `multi_view` because `views` is the folder in which views are made.
Kin: `paired` compares two tables and has no self to leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="multi_view",
    summary="other views of the record: positive; views of other records: negative; itself: left out",
    related=("paired", "labelled"),
    needs_columns=("record", "view"),
)


@dataclass(frozen=True)
class MultiView(Relation):
    """The relation that `multi_view` makes."""

    def block(self, queries: Columns, keys: Columns) -> Block:
        record = Same("record")(queries, keys)
        return Block(record & ~Same("view")(queries, keys), ~record)


def multi_view() -> Relation:
    """Same `record` and another `view`: positive. Another record: negative. The row itself is left out.

    >>> import torch, nearfar as nf
    >>> c = {"record": torch.tensor([0, 1, 0, 1]), "view": torch.tensor([0, 0, 1, 1])}
    >>> nf.multi_view()(c, c).pos[0].tolist(), nf.multi_view()(c, c).neg[0].tolist()
    ([False, False, True, False], [False, True, False, True])
    """
    return MultiView()
