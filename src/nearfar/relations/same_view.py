"""`same_view`: rows seen the same way are positives, whatever their records; rows seen another way are negatives.

The relation of one class: all unaltered records belong together, and an altered look at any of them, the own one not excepted, is what
they are to be far from. The row itself is left out.
Kin: `multi_view` has it the other way round, looks at one record together and other records far.
Source: Wilkie et al. 2025 (CLAN), by the authors' code, where a row is a positive of itself too, at a distance of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="same_view",
    summary="same view, of any record: positive; another view, of any record: negative; itself: left out",
    related=("multi_view", "labelled"),
    needs_columns=("record", "view"),
)


@dataclass(frozen=True)
class SameView(Relation):
    """The relation that `same_view` makes."""

    def block(self, queries: Columns, keys: Columns) -> Block:
        view = Same("view")(queries, keys)
        return Block(view & ~Same("record")(queries, keys), ~view)


def same_view() -> Relation:
    """The same `view`: positive. Another `view`: negative, of the own record too. The row itself is left out.

    >>> import torch, nearfar as nf
    >>> c = {"record": torch.tensor([0, 1, 0, 1]), "view": torch.tensor([0, 0, 1, 1])}
    >>> nf.same_view()(c, c).pos[0].tolist(), nf.same_view()(c, c).neg[0].tolist()
    ([False, True, False, False], [False, False, True, True])
    """
    return SameView()
