"""`explicit_negatives`: keys marked as given negatives are positives of nobody, not even of their own record.

Documents and their hard negatives are one table of keys (`cat([documents, negatives])`) with a boolean column `negative`. A
given negative competes with every query (`shared=True`, usual in dense retrieval) or only with its own record's query.
Kin: `paired` would take a record's hard negative for its positive, since both carry the record's id.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, KeyHas, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="explicit_negatives",
    summary="as `paired`, with keys marked `negative` as negatives of everyone or of their own record only",
    related=("paired",),
    needs_columns=("record", "negative"),
)


@dataclass(frozen=True)
class ExplicitNegatives(Relation):
    """The relation that `explicit_negatives` makes."""

    shared: bool = True

    def block(self, queries: Columns, keys: Columns) -> Block:
        same, given = Same("record")(queries, keys), KeyHas("negative")(queries, keys)
        competes = given if self.shared else given & same
        return Block(same & ~given, competes | (~same & ~given))


def explicit_negatives(shared: bool = True) -> Relation:
    """Keys with a true `negative` column are negatives: of every query, or with `shared=False` of their own record's.

    >>> import torch, nearfar as nf
    >>> q = {"record": torch.tensor([0, 1])}
    >>> k = {"record": torch.tensor([0, 1, 0]), "negative": torch.tensor([False, False, True])}
    >>> nf.explicit_negatives()(q, k).neg.int().tolist()
    [[0, 1, 1], [1, 0, 1]]
    >>> nf.explicit_negatives(shared=False)(q, k).neg.int().tolist()
    [[0, 1, 1], [1, 0, 0]]
    """
    return ExplicitNegatives(shared)
