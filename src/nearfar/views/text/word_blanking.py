"""Word blanking (text dropout): each word is replaced by a blank with a chance of its own, so the others keep their places.

        word i -> blank  where  u_i < share;    if none were left, the word of the largest u stays

Kin: `word_deletion` leaves no trace of the word. Dropout inside an encoder is the same idea on its units, and needs no view.
Source: Xie et al. 2017 (blank noising, arXiv 1703.02573), who write "_" and find shares of 0.1 to 0.2 best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.views.shared.options import check_share
from nearfar.views.shared.words import with_words_changed

CARD = Card(
    name="word_blanking",
    summary="each word of a text becomes a blank mark with a chance of its own",
    related=("word_deletion", "item_mask"),
    reads=("text",),
)


@dataclass(frozen=True)
class WordBlanking:
    """See `word_blanking`."""

    share: float
    blank: str
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)
        if len(self.blank.split()) != 1:
            raise UsageError(
                f"{self.blank!r} is not one word", where="word_blanking.blank", remedy='give a mark such as "_"'
            )

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Texts of as many words."""
        return with_words_changed(records, draws, "word_blanking", self._blank)

    def _blank(self, words: list[str], each: list[float], whole: float) -> list[str]:
        longest = max(each)
        return [
            word if draw >= self.share or draw == longest < self.share else self.blank
            for word, draw in zip(words, each, strict=True)
        ]


def word_blanking(*, share: float = 0.1, blank: str = "_") -> WordBlanking:
    """A view of texts that writes `blank` in place of each word with chance `share`.

    Words are what stands between white space; in scripts without it a sentence is one word and stays. A field (head, body) that has
    words keeps at least one. share = 0 leaves all as they are.
    Raises UsageError for a share outside 0 to 1 and for a blank that is not one word, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.word_blanking(share=0.5)
    >>> view(["one two three four", "five"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['one _ three _', 'five']
    """
    return WordBlanking(share, blank)
