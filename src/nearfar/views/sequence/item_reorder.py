"""Item reorder: a span of a sequence of items is shuffled; what came before and after it stays in its place.

        length = floor(share * items);    its place uniform among those that fit, its order uniform among all

For interests whose order is chance: two songs of one evening. Kin: `item_crop` and `item_mask` are the other two views of the same
paper; `word_swap` moves single words of a text.
Source: Xie et al. 2020 (CL4SRec, arXiv 2010.14395), beta. The paper tries 0.1 to 0.9 for each data set; 0.6 is what later code
commonly starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.item_sequences import part_of, with_items_changed
from nearfar.views.shared.options import check_share

CARD = Card(
    name="item_reorder",
    summary="a span of a sequence of items is shuffled",
    related=("item_crop", "item_mask", "word_swap"),
    reads=("sequence",),
)


@dataclass(frozen=True)
class ItemReorder:
    """See `item_reorder`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Any]:
        """Sequences of the same items."""
        return with_items_changed(records, draws, "item_reorder", self._reorder)

    def _reorder(self, items: list[int], each: list[float], whole: float) -> list[int]:
        length = part_of(len(items), self.share)
        start = int(whole * (len(items) - length + 1))
        span = range(start, start + length)
        return items[:start] + [items[i] for i in sorted(span, key=each.__getitem__)] + items[start + length :]


def item_reorder(*, share: float = 0.6) -> ItemReorder:
    """A view of sequences of items (lists or 1-d arrays of whole numbers from 1; 0 is padding and is dropped) with a shuffled span.

    No item is lost. share = 0 leaves all as they are, less the padding.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no sequence of items.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> nf.item_reorder(share=0.8)([[5, 6, 7, 8], [9]], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    [[6, 5, 7, 8], [9]]
    """
    return ItemReorder(share)
