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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.text_fields import FIELD

GRAM = 3
CHUNK = 2_048  # texts counted at once: small enough for arrays that stay in the processor's cache
CACHE = 200_000  # words whose units are remembered
BITS = 32  # of a key, for the number of a word or a unit; above them stands that of its text
LOW = (1 << BITS) - 1

_WORD = re.compile(r"\w+")
_BETWEEN = {n: " " for n in range(128) if not re.match(r"\w", chr(n))}
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def words(text: str) -> list[str]:
    """Letters, digits and underscores without a gap.

    >>> words("getX(a_1)")
    ['getX', 'a_1']
    """
    # The same words as by the pattern; this asks about each character once, in C.
    return text.translate(_BETWEEN).split() if text.isascii() else _WORD.findall(text)


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
    return [unit for part in parts(word) for unit in part_units(part)]


def part_units(part: str) -> list[str]:
    """A part and its character trigrams.

    >>> part_units("get")
    ['get', '#<ge', '#get', '#et>']
    """
    if len(part) == 1:
        return [part]
    framed = f"<{part}>"
    return [part, *(f"#{framed[i : i + GRAM]}" for i in range(len(framed) - GRAM + 1))]


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
    """Units with a number each, and `buckets` (at least one) numbers after them that all other units share."""

    def __init__(self, known: Sequence[str], buckets: int) -> None:
        self.known, self.buckets = list(known), buckets
        self._number = {unit: number for number, unit in enumerate(self.known)}
        self._words = _Words(self._numbered)

    def __len__(self) -> int:
        return len(self.known) + self.buckets

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy meets its words anew: what is remembered of them is no part of a vocabulary."""
        return Vocabulary, (self.known, self.buckets)

    @classmethod
    def fit(
        cls, texts: Iterable[str], *, min_count: int, size: int, buckets: int
    ) -> tuple[Vocabulary, NDArray[np.int64]]:
        """The `size` units that occur in most texts and in at least `min_count`, and in how many of the texts each occurs.

        Texts that hold a bucket's units are not counted (0): what they share is that they are rare.
        """
        number = _Numbering()
        words = _Words(lambda found: [number[unit] for unit in found])
        occurrences = np.zeros(0, np.int64)
        for some in _chunks(texts):
            more = np.bincount(words.count(some).ids, minlength=len(number))
            more[: len(occurrences)] += occurrences
            occurrences = more
        every, often = list(number), occurrences.tolist()
        frequent = np.flatnonzero(occurrences >= min_count).tolist()
        chosen = sorted(frequent, key=lambda i: (-often[i], every[i]))[:size]
        made = cls([every[i] for i in chosen], buckets)
        # What is trained on these texts meets their words again.
        words.renumber(made._numbered, np.array(made._numbered(every), np.int32))
        made._words = words
        return made, np.concatenate([occurrences[chosen], np.zeros(buckets, np.int64)])

    def weigh(self, texts: Iterable[str], head_weight: float) -> Weighed:
        """1 + log n for a unit that comes n times, times `head_weight` in the head: what of a text comes before a `FIELD`."""
        made = [self._weighed(some, head_weight) for some in _chunks(texts)] or [self._weighed([], 1.0)]
        return Weighed(
            np.concatenate([one.ids for one in made]),
            np.concatenate([one.amounts for one in made]),
            np.concatenate([[0], *(np.diff(one.offsets) for one in made)]).cumsum(),
        )

    def _weighed(self, texts: Sequence[str], head_weight: float) -> Weighed:
        halves = [text.split(FIELD, 1) if FIELD in text else ("", text) for text in texts]
        head, body = (self._words.count([half[i] for half in halves]) for i in (0, 1))
        sizes = np.stack([np.diff(head.offsets), np.diff(body.offsets)], 1)
        amounts = [(1 + np.log(one.counts)) * by for one, by in ((head, head_weight), (body, 1.0))]
        # Units of the head of a text stand before those of its body.
        order = np.argsort(np.concatenate([np.repeat(np.arange(len(texts)), size) for size in sizes.T]), kind="stable")
        return Weighed(
            np.concatenate([head.ids, body.ids])[order],
            np.concatenate(amounts)[order].astype(np.float32),
            np.concatenate([[0], sizes.sum(1).cumsum()]),
        )

    def _numbered(self, found: Sequence[str]) -> list[int]:
        number, first = self._number, len(self.known)
        return [number[unit] if unit in number else first + _hash(unit) % self.buckets for unit in found]


class _Words:
    """Words that were met, and what each is made of: the units of word w are ids[ends[w - 1]:ends[w]].

    A corpus has few distinct words and fewer distinct parts of them. So Python looks at each once, and at what a text holds only
    to name its words; their units are put in place, and counted, in whole arrays. Threads that prepare batches share what is known.
    """

    def __init__(self, numbered: Callable[[Sequence[str]], list[int]]) -> None:
        self.numbered, self.lock = numbered, Lock()
        self.forget()

    def forget(self) -> None:
        """Know no word."""
        self.number = _Numbering()
        self.of_part: dict[str, list[int]] = {}
        self.ids, self.ends = _Growing(), _Growing()

    def renumber(self, numbered: Callable[[Sequence[str]], list[int]], new: NDArray[np.int32]) -> None:
        """From now on unit i is new[i], and `numbered` gives the numbers of units."""
        self.numbered, self.of_part = numbered, {}
        self.ids = _Growing(new[self.ids.values])

    def count(self, texts: Sequence[str]) -> Counts:
        """Distinct units of each of a few texts in the order of their numbers, with their counts."""
        with self.lock:
            if len(self.number) > CACHE:
                self.forget()
            met, sizes = self._met(texts)
            ids, ends = self.ids.values, self.ends.values
        # First the words of each text are counted, then the units of these: most words of a long text come again.
        words, often = np.unique(np.repeat(np.arange(len(texts)) << BITS, sizes) | met, return_counts=True)
        word = words & LOW
        first = np.where(word > 0, ends[word - 1], 0)
        length = ends[word] - first
        place = np.repeat(first - (length.cumsum() - length), length)
        place += np.arange(len(place))
        units = np.repeat(words - word, length)
        units |= ids[place]
        order = np.argsort(units)
        units, often = units[order], np.repeat(often, length)[order]
        begins = np.flatnonzero(np.diff(units, prepend=-1))
        counts = np.add.reduceat(often, begins) if len(begins) else often
        units = units[begins]
        offsets = np.searchsorted(units, np.arange(len(texts) + 1) << BITS)
        return Counts((units & LOW).astype(np.int32), counts.astype(np.int32), offsets.astype(np.int64))

    def _met(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The words of the texts, one after the other, and how many each has; new ones are spelled."""
        met: list[int] = []
        ends = []
        known = len(self.number)
        for text in texts:
            met += map(self.number.__getitem__, words(text))
            ends.append(len(met))
        new_words = list(islice(reversed(self.number), len(self.number) - known))[::-1]
        spelled = [self._spelled(word) for word in new_words]
        lengths = np.fromiter(map(len, spelled), np.int64, len(spelled))
        self.ends.extend(len(self.ids.values) + lengths.cumsum())
        self.ids.extend(np.fromiter(chain.from_iterable(spelled), np.int64, int(lengths.sum())))
        return np.array(met, np.int64), np.diff(np.array(ends, np.int64), prepend=0)

    def _spelled(self, word: str) -> list[int]:
        found: list[int] = []
        for part in parts(word):
            if part not in self.of_part:
                self.of_part[part] = self.numbered(part_units(part))
            found += self.of_part[part]
        return found


class _Growing:
    """Numbers that others are put behind; `values` that were taken before stay what they are."""

    def __init__(self, values: NDArray[np.int32] | Sequence[int] = ()) -> None:
        self.values = self._room = np.array(values, np.int32)

    def extend(self, more: NDArray[np.int64]) -> None:
        """Put these behind."""
        size = len(self.values) + len(more)
        if size > len(self._room):
            self._room = np.concatenate([self.values, np.zeros(size, np.int32)])  # twice as much: seldom is all moved
        self._room[len(self.values) : size] = more
        self.values = self._room[:size]


class _Numbering(dict[str, int]):
    """Gives every new key the next number."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while some := list(islice(left, CHUNK)):
        yield some


def _hash(unit: str) -> int:
    """The same in every process, unlike Python's own `hash` of a string."""
    return zlib.crc32(unit.encode("utf-8", "surrogatepass"))
