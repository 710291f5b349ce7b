"""Word crop: a span of a text, of random length and place.

        length = max(1, round(r * words)),  r uniform in [least, most];    its place uniform among those that fit

Two crops of one document are each other's positive: they may overlap, lie apart, or one within the other, which makes a task out of a
text alone. Kin: `word_deletion` thins a text out instead; `item_crop` does the same to sequences of items.
Source: Izacard et al. 2021 (Contriever, arXiv 2112.09118), independent cropping with a span of 5 to 50 % of the document; Giorgi et al.
2020 (DeCLUTR, arXiv 2006.03659) draw lengths from beta distributions and tie the place of the positive to the anchor's, which
is another mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.views.shared.words import with_words_changed

CARD = Card(
    name="word_crop",
    summary="a span of a text, of random length and place",
    related=("word_deletion", "item_crop"),
    reads=("text",),
)


@dataclass(frozen=True)
class WordCrop:
    """See `word_crop`."""

    least: float
    most: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most <= 1:
            raise UsageError(
                f"a span of {self.least} to {self.most} of a text",
                where="word_crop.least",
                remedy="give 0 < least <= most <= 1",
            )

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Spans of the texts."""
        return with_words_changed(records, draws, "word_crop", self._crop)

    def _crop(self, words: list[str], each: list[float], whole: float) -> list[str]:
        length = max(1, round((self.least + (self.most - self.least) * whole) * len(words)))
        start = int(each[0] * (len(words) - length + 1))
        return words[start : start + length]


def word_crop(*, least: float = 0.05, most: float = 0.5) -> WordCrop:
    """A view of texts: a span of `least` to `most` of the words, each field (head, body) cropped by itself.

    The defaults are for documents; for sentences take more, such as least=0.5, most=0.9. Words are what stands between white space;
    in scripts without it a sentence is one word and stays. At least one word is kept. least = most = 1 leaves all as they are.
    Raises UsageError for shares that are none, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.word_crop(least=0.5, most=0.5)
    >>> view(["one two three four", "five"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['two three', 'five']
    """
    return WordCrop(least, most)
