"""Word repetition: some words of a text are said twice, so that a pair of views differs in length.

        copies = a whole number drawn uniformly from 0 .. max(2, floor(share * words));   as many words, all distinct, are doubled

Two views by dropout alone are always equally long, from which an encoder learns that equal length means equal sense.
Kin: `word_deletion` changes the length the other way, and loses words that matter.
Source: Wu et al. 2021 (ESimCSE, arXiv 2109.04380), who repeat subwords, with a share of 0.32 for BERT base; Liu et al. 2023 (ContraBERT,
arXiv 2301.09072) copy words. Words here, so that the view needs no tokenizer.
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
    name="word_repetition",
    summary="some words of a text are said twice, so that a pair of views differs in length",
    related=("word_deletion", "word_swap"),
    reads=("text",),
)


@dataclass(frozen=True)
class WordRepetition:
    """See `word_repetition`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Texts with all of their words, some of them twice in a row."""
        return with_words_changed(records, draws, "word_repetition", self._repeat)

    def _repeat(self, words: list[str], each: list[float], whole: float) -> list[str]:
        # The paper's floor of two is for sentences that are short; it must not outdo a share of zero.
        most = min(len(words), max(2, int(self.share * len(words)))) if self.share else 0
        doubled = set(sorted(range(len(words)), key=each.__getitem__)[: int(whole * (most + 1))])
        return [word for i, word in enumerate(words) for _ in range(1 + (i in doubled))]


def word_repetition(*, share: float = 0.32) -> WordRepetition:
    """A view of texts that doubles up to `share` of the words (or two, where that is more), each field (head, body) by itself.

    Words are what stands between white space; in scripts without it a sentence is one word, and doubled whole. share = 0 leaves all
    as they are. Nothing is lost.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.word_repetition(share=0.5)
    >>> view(["one two three four", "five"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['one two three four', 'five five']
    """
    return WordRepetition(share)
