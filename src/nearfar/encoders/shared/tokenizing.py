"""Text to units for encoders without word order: the words, the parts of identifiers, and their character trigrams.

    "parse_HTTPHeader2"  ->  parse, http, header, 2  and  <pa, par, ars, rse, se>, <ht, htt, ...

Trigrams let words meet that share a stem or a spelling ("normalise", "normalised", "norm"), and give a word that training
never saw a place near its relatives (Bojanowski et al., 2017). Units outside the vocabulary share hashed buckets: their
vectors are never trained but equal on both sides, so a rare name still matches itself.

Imports neither torch nor anything that does: an exported model is used without it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.core.text_fields import FIELD

GRAM = 3
CHUNK = 2_048  # records counted at once: bounds memory
CACHE = 200_000  # words whose units are remembered

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def parts(word: str) -> list[str]:
    """Lower-case parts of a word or identifier, cut at underscores, digits and changes of case.

    >>> parts("parse_HTTPHeader2")
    ['parse', 'http', 'header', '2']
    """
    found = _PART.findall(word) if word.isascii() else word.split("_")  # elsewhere case says nothing about parts
    return [part.lower() for part in found if part]


def units(word: str) -> list[str]:
    """Parts of a word and their character trigrams; a trigram is marked by #, which no part contains.

    >>> units("getX")
    ['get', '#<ge', '#get', '#et>', 'x']
    """
    found = []
    for part in parts(word):
        found.append(part)
        if len(part) > 1:
            framed = f"<{part}>"
            found += [f"#{framed[i : i + GRAM]}" for i in range(len(framed) - GRAM + 1)]
    return found


@dataclass(frozen=True)
class Counts:
    """How often each record holds each unit: `ids` [m] and `counts` [m] of record i lie at offsets[i]:offsets[i + 1]."""

    ids: NDArray[np.int32]
    counts: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Weighed:
    """What each record holds of which unit: `ids` [m] and `amounts` [m] of record i lie at offsets[i]:offsets[i + 1]."""

    ids: NDArray[np.int32]
    amounts: NDArray[np.float32]
    offsets: NDArray[np.int64]


class Vocabulary:
    """Units with a number each, and `buckets` numbers after them that all other units share."""

    def __init__(self, known: Sequence[str], buckets: int) -> None:
        self.known, self.buckets = list(known), buckets
        self._number = {unit: number for number, unit in enumerate(self.known)}
        self._cache: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.known) + self.buckets

    @classmethod
    def fit(
        cls, texts: Iterable[str], *, min_count: int, size: int, buckets: int
    ) -> tuple[Vocabulary, NDArray[np.int64]]:
        """The `size` units that occur in most texts and in at least `min_count`, and in how many of the texts each occurs.

        Texts that hold a bucket's units are not counted (0): what they share is that they are rare.
        """
        texts = list(texts)
        every = sorted({unit for word in {w for t in texts for w in _WORD.findall(t)} for unit in units(word)})
        occurrences = np.bincount(cls(every, 0).count(texts).ids, minlength=len(every))
        order = np.lexsort((np.arange(len(every)), -occurrences))[:size]
        order = order[occurrences[order] >= min_count]
        frequency = np.concatenate([occurrences[order], np.zeros(buckets, np.int64)])
        return cls([every[i] for i in order], buckets), frequency

    def count(self, texts: Sequence[str]) -> Counts:
        """Distinct units of each text in the order of their numbers, with their counts."""
        ids, counts, sizes = [], [], []
        for first in range(0, len(texts), CHUNK):
            flat: list[int] = []
            ends = []
            for text in texts[first : first + CHUNK]:
                for word in _WORD.findall(text):
                    flat += self._numbers(word)
                ends.append(len(flat))
            lengths = np.diff(ends, prepend=0)
            owner = np.repeat(np.arange(len(lengths)), lengths)
            keys, often = np.unique(owner * max(len(self), 1) + np.array(flat, np.int64), return_counts=True)
            ids.append((keys % max(len(self), 1)).astype(np.int32))
            counts.append(often.astype(np.int32))
            sizes.append(np.bincount(keys // max(len(self), 1), minlength=len(lengths)))
        offsets = np.concatenate([[0], *sizes]).cumsum().astype(np.int64)
        nothing = np.zeros(0, np.int32)
        return Counts(np.concatenate([nothing, *ids]), np.concatenate([nothing, *counts]), offsets)

    def weigh(self, texts: Sequence[str], head_weight: float) -> Weighed:
        """1 + log n for a unit that comes n times, times `head_weight` in the head: what of a text comes before a `FIELD`."""
        halves = [text.split(FIELD, 1) if FIELD in text else ("", text) for text in texts]
        fields = [self.count([half[i] for half in halves]) for i in (0, 1)]
        amounts = [(1 + np.log(f.counts)) * a for f, a in zip(fields, (head_weight, 1.0), strict=True)]
        sizes = [np.diff(f.offsets) for f in fields]
        offsets = np.concatenate([[0], (sizes[0] + sizes[1]).cumsum()])
        ids = np.empty(offsets[-1], np.int32)
        values = np.empty(offsets[-1], np.float32)
        for field, amount, size, start in zip(
            fields, amounts, sizes, (offsets[:-1], offsets[:-1] + sizes[0]), strict=True
        ):
            place = np.arange(len(field.ids)) + np.repeat(start - field.offsets[:-1], size)
            ids[place], values[place] = field.ids, amount
        return Weighed(ids, values, offsets.astype(np.int64))

    def _numbers(self, word: str) -> list[int]:
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= CACHE:
                self._cache.clear()
            known = len(self.known)
            numbers = [(self._number.get(unit), unit) for unit in units(word)]
            if self.buckets:
                found = [known + _hash(unit) % self.buckets if n is None else n for n, unit in numbers]
            else:
                found = [n for n, _ in numbers if n is not None]
            self._cache[word] = found
        return found


def _hash(unit: str) -> int:
    """The same in every process, unlike Python's own `hash` of a string."""
    return zlib.crc32(unit.encode("utf-8", "surrogatepass"))
