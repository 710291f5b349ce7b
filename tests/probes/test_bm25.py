"""BM25 against loops over words and documents, by the formula in its docstring."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.bm25 import Bm25, stem, words
from nearfar.probes.retrieval import retrieval

DOCUMENTS = [
    "def parse_url(text): return urlsplit(text)",
    "class HTTPServer:\n    def serve_forever(self): self.loop()",
    "def mean(values): return sum(values) / len(values)",
    "",
    "def parse_date(text, text_format): return strptime(text, text_format)",
]
QUERIES = ["Parse the text of a URL.", "mean of values, values!", "serves HTTP forever", "zzz unknown", ""]


def naive(k1: float, b: float, idf: str) -> np.ndarray:
    documents = [words(text) for text in DOCUMENTS]
    average = sum(map(len, documents)) / len(documents)
    table = np.zeros((len(QUERIES), len(documents)))
    for q, query in enumerate(QUERIES):
        for d, document in enumerate(documents):
            counts = Counter(document)
            for word in words(query):
                holding = sum(word in other for other in documents)
                rarity = (len(documents) - holding + 0.5) / (holding + 0.5)
                weight = log(1 + rarity) if idf == "lucene" else max(0.0, log(rarity))
                norm = k1 * (1 - b + b * len(document) / average)
                if counts[word]:
                    table[q, d] += weight * counts[word] / (counts[word] + norm)
    return table


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.9), (2.0, 0.0), (0.5, 1.0)])
def test_equals_loops(k1: float, b: float):
    scores = Bm25(k1=k1, b=b).fit(DOCUMENTS).scores(QUERIES)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(naive(k1, b, "lucene"), rel=1e-5)
    assert scores != pytest.approx(naive(k1, b, "robertson"), rel=1e-2)
    assert scores != pytest.approx(naive(k1 + 0.5, b, "lucene"), rel=1e-2)


def test_finds_the_documents_tile_by_tile():
    bm25 = Bm25().fit(DOCUMENTS)
    found = retrieval(bm25.scorer(QUERIES), [0, 2, 1, -1, -1], tile_bytes=1)
    assert found.mrr == 1
    assert found.unanswerable == 2
    assert retrieval(bm25.scorer(QUERIES), [1, 0, 2, -1, -1]).mrr < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTPServer", ["http", "server", "httpserver"]),
        ("parse_url", ["pars", "url", "parse_url"]),
        ("URLs", ["url"]),
        ("maxRetries2", ["max", "retry", "2", "maxretries2"]),
        ("the of and", []),
        ("naïve Größe", ["naïv", "größ"]),
        ("検索_関数", ["検索", "関数", "検索_関数"]),
        ("__init__", ["init"]),
    ],
)
def test_words(text: str, expected: list[str]):
    assert words(text) == expected


def test_stems_meet_and_different_words_do_not():
    assert len({stem(w) for w in ("parse", "parsed", "parses", "parsing")}) == 1
    assert len({stem(w) for w in ("query", "queries")}) == 1
    assert len({stem(w) for w in ("pass", "parse", "past", "path")}) == 4


def test_errors():
    with pytest.raises(DataError, match="none of the 2 documents has a word"):
        Bm25().fit(["", "..."])
    with pytest.raises(UsageError, match="fit"):
        Bm25().scores(["a"])
    with pytest.raises(UsageError, match="b from 0 to 1"):
        Bm25(b=2)
