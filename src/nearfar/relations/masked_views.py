"""`masked_views`: other views of the same record are positives, records of another label negatives; the same label is left out.

Records of one label (the same next item, the same cluster) are likely false negatives, but no positives either: only the record's own
views are. A negative label means unknown, and is nobody else's label.
Kin: `multi_view` knows no labels; `labelled` makes the same label a positive.
Source: Qin et al. 2023 (arXiv 2310.14318), with the authors' code: labels are next items, or clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, Same, read
from nearfar.core.relation import Relation

CARD = Card(
    name="masked_views",
    summary="other views of the record: positive; other label: negative; same label, and itself: left out",
    related=("multi_view", "labelled"),
    needs_columns=("record", "view", "label"),
)


@dataclass(frozen=True)
class MaskedViews(Relation):
    """The relation that `masked_views` makes."""

    column: str = "label"

    def block(self, queries: Columns, keys: Columns) -> Block:
        record = Same("record")(queries, keys)
        known = read(queries, self.column, "queries") >= 0
        alike = Same(self.column)(queries, keys) & known[:, None]
        return Block(record & ~Same("view")(queries, keys), ~record & ~alike)


def masked_views(column: str = "label") -> Relation:
    """Same `record` and another `view`: positive. Another record with another entry in `column`: negative. All else is left out.

    >>> import torch, nearfar as nf
    >>> c = {"record": torch.tensor([0, 1, 0, 1]), "view": torch.tensor([0, 0, 1, 1]), "label": torch.tensor([5, 6, 5, 5])}
    >>> nf.masked_views()(c, c).neg[1].tolist(), nf.masked_views()(c, c).neg[3].tolist()
    ([True, False, True, False], [False, False, False, False])
    """
    return MaskedViews(column)
