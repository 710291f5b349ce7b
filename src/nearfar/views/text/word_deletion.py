"""Word deletion: each word of a text goes with a chance of its own.

        keep word i  where  u_i >= share;    if none is left, the word of the largest u stays

Kin: `word_blanking` leaves a mark where a word was, so that the others keep their places; `word_crop` removes the ends.
Source: Wei and Zou 2019 (EDA, arXiv 1901.11196), random deletion, where the share is 0.1; Izacard et al. 2021 (Contriever,
arXiv 2112.09118) delete tokens with the same chance after cropping; Liu et al. 2023 (ContraBERT, arXiv 2301.09072) delete words of
comments.
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
    name="word_deletion",
    summary="each word of a text goes with a chance of its own",
    related=("word_blanking", "word_crop", "word_repetition"),
    reads=("text",),
)


@dataclass(frozen=True)
class WordDeletion:
    """See `word_deletion`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Texts with some of their words, in their order."""
        return with_words_changed(records, draws, "word_deletion", self._delete)

    def _delete(self, words: list[str], each: list[float], whole: float) -> list[str]:
        kept = [word for word, draw in zip(words, each, strict=True) if draw >= self.share]
        return kept or [words[each.index(max(each))]]


def word_deletion(*, share: float = 0.1) -> WordDeletion:
    """A view of texts that deletes each word with chance `share`.

    Words are what stands between white space; in scripts without it a sentence is one word and stays. A field (head, body) that has
    words keeps at least one. share = 0 leaves all as they are.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.word_deletion(share=0.5)
    >>> view(["one two three four", "five"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['three', 'five']
    """
    return WordDeletion(share)
