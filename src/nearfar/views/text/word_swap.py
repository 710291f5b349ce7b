"""Word swap: some words of a text change places with others.

        for i = 1 .. words:  where u_i < share, word i and another one, drawn uniformly, exchange their places

What an encoder without word order cannot see. Kin: `item_reorder` shuffles a span of a sequence instead.
Source: Wei and Zou 2019 (EDA, arXiv 1901.11196), random swap, with share * words swaps of two words, at least one. Here that number is
drawn, word by word, so that a text may stay whole as it may under the other views. Liu et al. 2023 (ContraBERT, arXiv 2301.09072)
switch words of comments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.views.shared.options import check_share
from nearfar.views.shared.words import with_words_changed

CARD = Card(
    name="word_swap",
    summary="some words of a text change places with others",
    related=("word_repetition", "item_reorder"),
    reads=("text",),
)


@dataclass(frozen=True)
class WordSwap:
    """See `word_swap`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Texts of the same words."""
        return with_words_changed(records, draws, "word_swap", self._swap)

    def _swap(self, words: list[str], each: list[float], whole: float) -> list[str]:
        others = len(words) - 1
        for i, draw in enumerate(each if others else ()):
            if draw < self.share:
                # Below the share, the draw divided by it is a uniform draw again: it says with which of the others.
                other = (i + 1 + int(draw / self.share * others)) % len(words)
                words[i], words[other] = words[other], words[i]
        return words


def word_swap(*, share: float = 0.1) -> WordSwap:
    """A view of texts in which each word, with chance `share`, changes places with another word of its field (head, body).

    Words are what stands between white space; a text of one word, such as a sentence in a script without it, stays. share = 0
    leaves all as they are.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.word_swap(share=0.5)
    >>> view(["one two three four", "five"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['four three one two', 'five']
    """
    return WordSwap(share)
