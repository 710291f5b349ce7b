"""`drop_by_guide`: a second, frozen encoder decides which negatives are likely false.

        n_ij = 0  where  g_ij > max_p g_ip - margin          g = cosine of the guide's vectors, a column of both tables

A key that the guide holds nearer to the query than the positive itself is no negative. With several positives the one
that the guide likes best counts; a row without a positive keeps all. A row's own keys, which carry no column, stay, and so do
keys that belong to no record (noise, centroids), whose entry is not a number.
Kin: `drop_near_positive` asks the model itself; `relation.drop_negatives(alike(column, threshold))` has one threshold for all.
Source: Solatorio 2024 (arXiv 2402.16829), GISTEmbed, margin 0. There queries are also contrasted with queries and documents with
documents, with the query-document score of the guide as the limit; here every row's own positive is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nearfar.core.block import Block, present
from nearfar.core.card import Card
from nearfar.core.predicate import column_cosine
from nearfar.core.relation import keep
from nearfar.core.tile import Edit, Tile
from nearfar.maths.mining import best

CARD = Card(
    name="drop_by_guide",
    summary="leave out negatives that a guide's vectors hold nearer than the positive",
    related=("drop_near_positive", "drop_above", "teacher_soft"),
    needs_columns=("guide",),
)


@dataclass(frozen=True)
class DropByGuide:
    """The edit that `drop_by_guide` makes."""

    column: str = "guide"
    margin: float = 0.0

    def __call__(self, tile: Tile) -> Block:
        guide = column_cosine(tile.queries.columns, tile.keys.columns, self.column)
        shared = guide.shape[1]
        limit = best(guide, present(tile.block.pos[:, :shared])) - self.margin
        likely = torch.ones_like(tile.scores, dtype=torch.bool)
        likely[:, :shared] = ~(guide > limit)  # not `<=`: what is not a number is kept
        return Block(tile.block.pos, keep(tile.block.neg, likely))


def drop_by_guide(column: str = "guide", margin: float = 0.0) -> Edit:
    """Negatives whose cosine in `column` [r e] exceeds the positive's less `margin` are left out.

    Raises UsageError when a table lacks the column.

    >>> import torch, nearfar as nf
    >>> vectors, guide = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> x, y = nf.rows(vectors, guide=guide), nf.rows(vectors, guide=guide)
    >>> term = nf.Scored(nf.info_nce, nf.paired(), edits=[nf.drop_by_guide(margin=0.1)])
    >>> nf.pair_counts(term, x, y).dropped_by_edits
    2
    """
    return DropByGuide(column, margin)
