"""What made a document near: how much of the cosine goes with each of its pieces, and with each word of the query.

        contribution of a piece p of the document d = cos(q, d) - cos(q, d without p),   likewise for a word of q

Positive: the piece brings the two together. Contributions need not add up to the cosine, since pieces act together. Any encoder can be
asked, because only encoding is needed (Li, Monroe and Jurafsky 2016, arXiv 1612.08220, explain by erasure likewise).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

PIECES = 24  # of a document: more are joined with their neighbours
WORDS = 16  # of a query that are looked at
LONGEST = 8_000  # characters of a document that are looked at


@runtime_checkable
class Encode(Protocol):
    """Texts -> vectors [n d], of queries or of documents."""

    def __call__(self, texts: Sequence[str], *, query: bool) -> np.ndarray: ...


class Piece(NamedTuple):
    """Where a piece is in its text (characters from `start` up to `end`), and what it adds to the cosine."""

    start: int
    end: int
    contribution: float


class Explanation(NamedTuple):
    """The cosine of query and document; pieces of the document's text; words of the query; words that both have."""

    cosine: float
    text: str
    pieces: list[Piece]
    query_words: list[Piece]
    shared: list[str]


def explanation(query: str, text: str, encode: Encode) -> Explanation:
    """Erase one piece after the other and encode again: at most 24 documents and 16 queries.

    >>> def letters(texts, query):
    ...     return np.array([[t.count("a"), t.count("b"), 1e-3] for t in texts], dtype=float)
    >>> found = explanation("aa", "aa\\nbb", letters)
    >>> [(p.start, p.end, round(p.contribution, 2)) for p in found.pieces]
    [(0, 3, 0.71), (3, 5, -0.29)]
    """
    text = text[:LONGEST]
    spans, words = pieces(text), [(m.start(), m.end()) for m in re.finditer(r"\w+", query)][:WORDS]
    q = _unit(encode([query, *_without(query, words)], query=True))
    d = _unit(encode([text, *_without(text, spans)], query=False))
    cosine = float(q[0] @ d[0])
    return Explanation(
        cosine,
        text,
        [Piece(*span, cosine - float(q[0] @ v)) for span, v in zip(spans, d[1:], strict=True)],
        [Piece(*span, cosine - float(v @ d[0])) for span, v in zip(words, q[1:], strict=True)],
        sorted(_words(query) & _words(text)),
    )


def pieces(text: str) -> list[tuple[int, int]]:
    """Sentences or lines of a text as (start, end), neighbours joined until there are at most 24; one of words where there is one only."""
    spans: list[tuple[int, int]] = []
    for gap in (r"(?<=[.!?])\s+|\n\s*", r"\s+"):
        cuts = [0, *(m.end() for m in re.finditer(gap, text)), len(text)]
        spans = [(start, end) for start, end in pairwise(cuts) if text[start:end].strip()]
        if len(spans) > 1:
            break
    size = -(-len(spans) // PIECES) if spans else 1
    return [(group[0][0], group[-1][1]) for group in (spans[i : i + size] for i in range(0, len(spans), size))]


def _without(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    return [text[:start] + " " + text[end:] for start, end in spans]


def _words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[^\W_]+", text)}


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at unit length; one of zeros, where nothing is left that the model knows, stays and has cosine 0."""
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
