"""Word n-grams: a sentence is the mean of learned vectors of its words and of what stands next to one another.

        v(S) = 1/|R(S)| sum over r in R(S) of V_r        R(S): the words of S, and its spans of 2 to `ngrams` words

Words have a vector each; spans share `buckets` vectors by hash. Words that too few texts hold are left out before spans are formed.
Which rows a sentence has, and which words each covers, `units` tells, for a term that takes a word away from its sentence.
Kin: `static` has trigrams of characters and weighs units by rarity; it has no order of words at all.
Source: Pagliardini, Gupta and Jaggi 2017 (Sent2Vec, arXiv 1703.02507), hash and order of things by the authors' code, as a brief of it
tells; the paper has 600 to 700 dimensions, words of a count of 8 at least and two million and more buckets, for a billion words. The sizes are ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.text_fields import check_texts
from nearfar.core.tokens import Tokens
from nearfar.encoders.shared.settings import MAX_WIDTH, damaged, wrong
from nearfar.maths.layers import is_size

CARD = Card(
    name="word_ngrams",
    summary="the mean of one learned vector a word and a span of words: sentences on CPUs",
    related=("static", "word_in_sentence"),
    reads=("text",),
    public=("WordNgrams",),
)

READER = "the encoder of word n-grams"
MAX_ROWS = 4_000_000  # of the table: a damaged configuration must not ask for all memory
MAX_NGRAMS = 10
FACTOR = 116_049_371  # of the authors' hash

_WORD = re.compile(r"\w+")


class Units(NamedTuple):
    """Rows of the table that texts are made of: `row` [m], `text` [m], and the words that each covers, `first` [m] to `first + length`.

    `first` is a place among the words of all texts together.
    """

    row: Tensor
    text: Tensor
    first: Tensor
    length: Tensor


class WordNgrams(nn.Module):
    """See the file's text. `words` are the known ones, `counts` [w] how often each occurs; a text without any has the vector zero.

    >>> import nearfar as nf
    >>> encoder = nf.WordNgrams.fit({"text": ["near and far", "far and near"]}, dimension=8, buckets=100, min_count=1)
    >>> one, other = encoder(encoder.prepare(["near and far", "far and near"])).vectors
    >>> bool((one - other).abs().max() > 0.01)                           # the spans differ
    True
    """

    counts: Tensor
    tables: ClassVar = ("table",)  # of which a step moves few rows

    def __init__(self, words: Sequence[str], dimension: int, buckets: int, ngrams: int) -> None:
        super().__init__()
        self.words, self.dimension, self.buckets, self.ngrams = list(words), dimension, buckets, ngrams
        self._number = {word: number for number, word in enumerate(self.words)}
        self.table = nn.Parameter(torch.empty(len(self.words) + buckets, dimension))
        self.register_buffer("counts", torch.ones(len(self.words)))
        nn.init.uniform_(self.table, -1 / dimension, 1 / dimension)

    @classmethod
    def fit(
        cls,
        texts: Mapping[str, Sequence[str]],
        *,
        dimension: int = 256,
        ngrams: int = 2,
        buckets: int = 200_000,
        min_count: int = 2,
        seed: int = 0,
    ) -> WordNgrams:
        """An encoder with small random vectors for the words of the texts of all sides together.

        ngrams     words of the longest span; 1: words alone
        buckets    vectors that all spans share
        min_count  times that a word must occur

        Raises UsageError for settings that make no sense, DataError for a record that is no text and where no word is left.
        """
        for name, value, most in (
            ("dimension", dimension, MAX_WIDTH),
            ("ngrams", ngrams, MAX_NGRAMS),
            ("buckets", buckets, MAX_ROWS),
            ("min_count", min_count, 2**31),
        ):
            if not is_size(value, most):
                raise wrong(name, value, f"give a whole number from 1 to {most:,}")
        every = [text for side in sorted(texts) for text in texts[side]]
        check_texts(every, READER)
        often = Counter(word for text in every for word in _words(text))
        words = sorted((w for w, count in often.items() if count >= min_count), key=lambda w: (-often[w], w))
        if len(words) < 2:
            raise wrong("min_count", min_count, "fewer than two words occur so often; ask for less")
        with seeded(seed):
            made = cls(words[: MAX_ROWS - buckets], dimension, buckets, ngrams)
        made.counts.copy_(torch.tensor([float(often[word]) for word in made.words]))
        return made

    def prepare(self, records: Sequence[Any]) -> Tokens:
        """The known words of texts as numbers. Raises DataError for a record that is no text."""
        check_texts(records, READER)
        return Tokens.of([[self._number[w] for w in _words(text) if w in self._number] for text in records])

    def units(self, inputs: Tokens) -> Units:
        """Words first, then spans of two, of three, and so on."""
        ids, text = inputs.ids, torch.arange(len(inputs)).repeat_interleave(inputs.lengths)
        place = torch.arange(len(ids))
        found = [Units(ids, text, place, torch.ones_like(ids))]
        hashed = ids
        for length in range(2, self.ngrams + 1):
            hashed = hashed[: len(ids) - length + 1] * FACTOR + ids[length - 1 :]
            whole = text[: len(hashed)] == text[length - 1 :]
            first = place[: len(hashed)][whole]
            row = len(self.words) + hashed[whole].remainder(self.buckets)
            found.append(Units(row, text[first], first, torch.full_like(first, length)))
        return Units(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def forward(self, inputs: Tokens, side: str = "query") -> Rows:
        """One row a text: vectors [n dimension], not normalised."""
        units = self.units(inputs)
        device = self.table.device
        total = self.table.new_zeros(len(inputs), self.dimension)
        total = total.index_add(0, units.text.to(device), functional.embedding(units.row.to(device), self.table))
        size = torch.bincount(units.text, minlength=len(inputs)).clamp_min(1)
        return Rows(total / size.to(device)[:, None])

    def cost(self, inputs: Tokens) -> Tensor:
        """Words of each text [n]."""
        return inputs.lengths

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"dimension": self.dimension, "ngrams": self.ngrams, "buckets": self.buckets, "words": self.words}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> WordNgrams:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        words: Any = config.get("words")
        sizes: Any = [config.get(name) for name in ("dimension", "buckets", "ngrams")]
        sound = (
            all(is_size(size, most) for size, most in zip(sizes, (MAX_WIDTH, MAX_ROWS, MAX_NGRAMS), strict=True))
            and isinstance(words, list)
            and all(isinstance(word, str) for word in words)
            and len(set(words)) == len(words)
            and len(words) + sizes[1] <= MAX_ROWS
        )
        if not sound:
            raise damaged("an encoder of word n-grams", "numbers or words that make no sense")
        return cls(words, *sizes)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
