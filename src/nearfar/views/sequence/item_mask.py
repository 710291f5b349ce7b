"""Item mask: some items of a sequence are hidden, their places kept.

        floor(share * items) places, drawn without replacement, become `mask`

Kin: `item_crop` and `item_reorder` are the other two views of the same paper; `word_blanking` does this to texts.
Source: Xie et al. 2020 (CL4SRec, arXiv 2010.14395), gamma. The paper tries 0.1 to 0.9 for each data set; 0.3 is what later code
commonly starts from. There the mask is one more row of the item table; so it is here, and its number is -1 whatever the size of the
vocabulary, so that nobody has to know it before the encoder is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.core.item_sequences import MASKED, part_of, with_items_changed

CARD = Card(
    name="item_mask",
    summary="some items of a sequence are hidden, their places kept",
    related=("item_crop", "item_reorder", "word_blanking"),
    reads=("sequence",),
)


@dataclass(frozen=True)
class ItemMask:
    """See `item_mask`."""

    share: float
    mask: int
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(
                f"a share of {self.share}", where="item_mask.share", remedy="give a share of at least 0, below 1"
            )
        if self.mask < MASKED or self.mask == 0:
            raise UsageError(
                f"{self.mask} cannot stand for a hidden item",
                where="item_mask.mask",
                remedy="give -1, which the encoders of nearfar read, or a number above all items; 0 is padding",
            )

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Any]:
        """Sequences of as many items, some of them hidden."""
        return with_items_changed(records, draws, "item_mask", self._mask)

    def _mask(self, items: list[int], each: list[float], whole: float) -> list[int]:
        places = sorted(range(len(items)), key=each.__getitem__)
        for place in places[: part_of(len(items), self.share)]:
            items[place] = self.mask
        return items


def item_mask(*, share: float = 0.3, mask: int = MASKED) -> ItemMask:
    """A view of sequences of items (lists or 1-d arrays of whole numbers from 1; 0 is padding and is dropped) with some of them hidden.

    mask  what is written for a hidden item; -1 is read by the encoders of this package, another encoder may want a number of its own

    At least one item stays, so a sequence of one stays as it is; share = 0 leaves all as they are, less the padding.
    Raises UsageError for a share or mask that is none, DataError for a record that is no sequence of items.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> nf.item_mask(share=0.5)([[5, 6, 7, 8], [9]], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    [[-1, 6, 7, -1], [9]]
    """
    return ItemMask(share, mask)
