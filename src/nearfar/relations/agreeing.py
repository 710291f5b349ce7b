"""`agreeing`: rows that agree in all of several columns are positives, all others negatives, the row itself left out.

For records of many rows with something in them that rows share: pieces of the pictures of a bag, frames of the scenes of a film,
words of the sentences of a text. `itself` are columns that tell rows apart which agree; two rows that agree in those too are one.
Kin: `labelled` has one column, and takes other rows of the same record for positives whatever it says; `place` is for near, not equal.
Source: the pieces of one picture among those of all montages, Chen et al. 2021 (arXiv 2104.00323).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns, Same
from nearfar.core.relation import Relation

CARD = Card(
    name="agreeing",
    summary="equal in all of several columns: positive; every other row: negative; itself: left out",
    related=("labelled", "multi_view", "place"),
    needs_columns=("record",),
)


@dataclass(frozen=True)
class Agreeing(Relation):
    """The relation that `agreeing` makes."""

    columns: tuple[str, ...]
    itself: tuple[str, ...]

    def block(self, queries: Columns, keys: Columns) -> Block:
        alike = _same(self.columns, queries, keys)
        return Block(alike & ~_same(self.itself, queries, keys), ~alike)


def _same(columns: tuple[str, ...], queries: Columns, keys: Columns) -> Tensor:
    return reduce(lambda a, b: a & b, (Same(name)(queries, keys) for name in columns))


def agreeing(columns: tuple[str, ...] = ("record",), itself: tuple[str, ...] = ("view",)) -> Relation:
    """Rows that agree in `columns` are positives unless they agree in `itself` too; rows that do not are negatives.

    Raises UsageError for no column.

    >>> import torch, nearfar as nf
    >>> c = {"record": torch.tensor([0, 0, 0, 1]), "picture": torch.tensor([0, 0, 1, 0]), "place": torch.tensor([0, 1, 0, 0])}
    >>> block = nf.agreeing(("record", "picture"), itself=("place",))(c, c)
    >>> block.pos[0].tolist(), block.neg[0].tolist()
    ([False, True, False, False], [False, False, True, True])
    """
    if not columns or not itself:
        raise UsageError("nothing to agree in", remedy='name a column each: ("record", "picture"), itself=("place",)')
    return Agreeing(tuple(columns), tuple(itself))
