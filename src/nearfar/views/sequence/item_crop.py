"""Item crop: a span of a sequence of items, at a random place.

        length = max(1, floor(share * items));    its place uniform among those that fit

Kin: `item_mask` and `item_reorder` are the other two views of the same paper; `word_crop` does this to texts, with random length.
Source: Xie et al. 2020 (CL4SRec, arXiv 2010.14395), eta. The paper tries 0.1 to 0.9 for each data set; 0.6 is what later code
commonly starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.core.item_sequences import part_of, with_items_changed

CARD = Card(
    name="item_crop",
    summary="a span of a sequence of items, at a random place",
    related=("item_mask", "item_reorder", "word_crop"),
    reads=("sequence",),
)


@dataclass(frozen=True)
class ItemCrop:
    """See `item_crop`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(
                f"a share of {self.share}", where="item_crop.share", remedy="give a share above 0, at most 1"
            )

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Any]:
        """Spans of the sequences."""
        return with_items_changed(records, draws, "item_crop", self._crop)

    def _crop(self, items: list[int], each: list[float], whole: float) -> list[int]:
        length = max(1, part_of(len(items), self.share))
        start = int(whole * (len(items) - length + 1))
        return items[start : start + length]


def item_crop(*, share: float = 0.6) -> ItemCrop:
    """A view of sequences of items (lists or 1-d arrays of whole numbers from 1; 0 is padding and is dropped): a span of `share` of them.

    At least one item is kept. share = 1 leaves all as they are, less the padding.
    Raises UsageError for a share that is none, DataError for a record that is no sequence of items.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> nf.item_crop(share=0.5)([[5, 6, 7, 8], [9]], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    [[6, 7], [9]]
    """
    return ItemCrop(share)
