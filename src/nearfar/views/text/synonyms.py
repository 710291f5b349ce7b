"""Synonyms: words that a table knows are replaced by others of the same meaning, each with a chance of its own.

        word i -> one of its synonyms, drawn uniformly,  where it has any and u_i < share

The table is the user's: a mapping from a word to its synonyms, or a UTF-8 file with a line for each word,

        word<TAB>synonym,another synonym,...

Words are looked up without the punctuation around them and in any case; a capital first letter, capitals throughout, and the
punctuation are kept. A synonym may be of several words. The table is used as it is, one way: nothing is turned around, stemmed or
disambiguated. Kin: `word_blanking` replaces a word by nothing at all.
Source: Wei and Zou 2019 (EDA, arXiv 1901.11196), synonym replacement with WordNet and a share of 0.1 of all words; here the share is of
the words that have synonyms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError
from nearfar.views.shared.options import check_share
from nearfar.views.shared.words import with_words_changed

CARD = Card(
    name="synonyms",
    summary="words that a table of the user's knows give way to their synonyms",
    related=("word_blanking", "word_swap"),
    reads=("text",),
)

_PARTS = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)  # punctuation before, the word, punctuation after


@dataclass(frozen=True)
class Synonyms:
    """See `synonyms`; the table has lower-case words."""

    table: Mapping[str, tuple[str, ...]] = field(repr=False)
    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """Texts in which some words have given way."""
        return with_words_changed(records, draws, "synonyms", self._replace)

    def _replace(self, words: list[str], each: list[float], whole: float) -> list[str]:
        return [
            self._other(word, d / self.share) if d < self.share else word for word, d in zip(words, each, strict=True)
        ]

    def _other(self, word: str, draw: float) -> str:
        """A synonym by a uniform draw, dressed like the word; the word itself if the table does not know it."""
        before, inner, after = _PARTS.fullmatch(word).groups()  # type: ignore[union-attr]  # it matches every string
        known = self.table.get(inner.casefold())
        if not known:
            return word
        other = known[int(draw * len(known))]
        if len(inner) > 1 and inner.isupper():
            other = other.upper()
        elif inner[:1].isupper():
            other = other[:1].upper() + other[1:]
        return before + other + after


def synonyms(*, table: Mapping[str, Any] | str | Path = "", share: float = 0.1) -> Synonyms:
    """A view of texts that replaces each word known to the table, with chance `share`, by one of its synonyms.

    table  a mapping {"quick": ["fast", "rapid"]}, or the path of a UTF-8 file of lines `quick<TAB>fast,rapid`; no table is shipped

    Words are what stands between white space, less the punctuation around them; in scripts without it a sentence is one word, which
    no table knows. No word is lost. share = 0 leaves all as they are.
    Raises UsageError without a table and for a share outside 0 to 1; DataError for a table that cannot be read (file and line), and
    for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.synonyms(table={"quick": ["fast", "rapid"]}, share=1.0)
    >>> view(["The quick fox.", "Quick!"], Draws(0, epoch=0, record=torch.tensor([3, 9])))
    ['The rapid fox.', 'Rapid!']
    """
    if isinstance(table, Mapping):
        known = {word: _checked(word, others, "synonyms.table") for word, others in table.items()}
    else:
        known = _read(Path(table)) if str(table) else {}
    if not known:
        raise UsageError(
            "there is no table of synonyms",
            where="synonyms.table",
            remedy="give a mapping from words to synonyms, or a file of lines word<TAB>synonym,synonym",
        )
    return Synonyms({word.casefold(): others for word, others in known.items()}, share)


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the table of synonyms cannot be read: {error}", where=str(path), remedy="give a UTF-8 file"
        ) from None
    known: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            word, tab, others = line.partition("\t")
            place = f"{path}:{number}"
            if not tab:
                raise DataError("this line has no tab", where=place, remedy="write word<TAB>synonym,synonym")
            known[word.strip()] = known.get(word.strip(), ()) + _checked(word.strip(), others.split(","), place)
    return known


def _checked(word: Any, others: Any, where: str) -> tuple[str, ...]:
    found = [others] if isinstance(others, str) else others
    sound = isinstance(word, str) and isinstance(found, Sequence) and all(isinstance(o, str) for o in found)
    made = tuple(" ".join(other.split()) for other in found if other.strip()) if sound else ()
    if not made or not word.strip() or len(word.split()) > 1:
        raise DataError(
            f"the entry of {word!r} is not one word and its synonyms", where=where, remedy="give a word and texts"
        )
    return made
