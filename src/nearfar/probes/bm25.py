"""The lexical baseline that a learned search must beat: BM25 over words, with identifiers split as a reader would.

        score(q, d) = sum over words w of q of  idf(w) * f / (f + k1 * (1 - b + b * |d| / mean |d|))
        idf(w)      = ln(1 + (N - n_w + 0.5) / (n_w + 0.5))

f is how often w occurs in d, |d| the number of words of d, n_w the documents that hold w, N all documents. A word that
the query repeats counts every time. This is the variant of Lucene (without its constant factor k1 + 1, which changes
no rank); see Kamphuis, de Vries, Boytsov and Lin, "Which BM25 do you mean?", ECIR 2020. Computed by `bm25s`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.scores import Scorer

CARD = Card(
    name="bm25",
    summary="BM25 over words and the parts of identifiers: the lexical baseline",
    related=("retrieval", "scores"),
    public=("Bm25",),
)

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG and would fill users' logs

_STOP = (
    "a an and any are as at be been being but by can could did do does each for from had has have he her his how i if "
    "in into is it its may must no not of on only or other our she should so such than that the their them then there "
    "these they this to us was we were what when where which who will with would you your"
)
STOP_WORDS = frozenset(_STOP.split())
"""English words that say how a sentence is built, not what it is about."""

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W_A-Za-z0-9]+")
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))


def words(text: str) -> list[str]:
    """Lower-case stems without stop words; an identifier gives its parts (at underscores, changes of case, digits) and
    itself as a whole.

    >>> words("Parsing the URLs: HTTPServer.parse_url(maxRetries2)")
    ['pars', 'url', 'http', 'server', 'httpserver', 'pars', 'url', 'parse_url', 'max', 'retry', '2', 'maxretries2']
    """
    found: list[str] = []
    for word in _WORD.findall(text):
        # in other alphabets the case says nothing about parts
        parts = _PART.findall(word) if word.isascii() else word.split("_")
        kept = [lower for part in parts if (lower := part.lower()) and lower not in STOP_WORDS]
        found += [stem(part) for part in kept]
        if len(parts) > 1:
            found.append(word.lower())
    return found


def stem(word: str) -> str:
    """An English word without its commonest endings, so that "parsed", "parses" and "parsing" meet. Crude, and enough.

    >>> [stem(word) for word in ("parsed", "parsing", "parse", "queries", "stopped", "class")]
    ['pars', 'pars', 'pars', 'query', 'stop', 'class']
    """
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            word = word[: -len(ending)] + instead
            break
    if len(word) > 4 and word[-1] == "e":
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word


class Bm25:
    """BM25 over a fixed collection of documents.

    The defaults are the strongest found for searching functions by their descriptions. Stop words, stems and whole
    identifiers each count there, and so does holding back long documents more than the usual b = 0.75.

    k1         how slowly repeated words stop to add
    b          how much long documents are held back, 0 to 1
    tokenizer  from a text to its words

    >>> Bm25().fit(["def parse_url(text): ...", "class HttpServer: ..."]).scores(["parse a URL"]).argmax(1).tolist()
    [0]
    """

    def __init__(self, *, k1: float = 1.2, b: float = 0.9, tokenizer: Callable[[str], list[str]] = words) -> None:
        if not (k1 >= 0 and 0 <= b <= 1):
            raise UsageError(f"BM25 needs k1 >= 0 and b from 0 to 1, not {k1} and {b}", remedy="1.2 and 0.75 are usual")
        self.k1, self.b, self.tokenizer = k1, b, tokenizer
        self._index: bm25s.BM25 | None = None

    def fit(self, documents: Sequence[str]) -> Bm25:
        """Index `documents` (texts). Returns itself.

        Raises DataError if no document has a single word.
        """
        tokens = [self.tokenizer(text) for text in documents]
        if not any(tokens):
            raise DataError(
                f"none of the {len(tokens)} documents has a word",
                where="documents",
                remedy="look at the column you chose",
            )
        # backend and csc_backend are named so that an installed numba or scipy changes neither results nor start time
        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene", backend="numpy", csc_backend="numpy")
        index.index(tokens, show_progress=False)
        self._index = index
        return self

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Scores [q n] of texts against all documents; 0 where they share no word."""
        if self._index is None:
            raise UsageError("BM25 has no documents yet", remedy="call .fit(documents) first")
        postings, vocabulary = self._index.scores, self._index.vocab_dict
        data, places, ends = postings["data"], postings["indices"], postings["indptr"]
        table = np.zeros((len(queries), postings["num_docs"]), np.float32)
        for line, query in zip(table, queries, strict=True):
            for word in self.tokenizer(query):
                number = vocabulary.get(word, len(ends))
                if number < len(ends) - 1:  # bm25s adds an empty word that has no postings
                    part = slice(ends[number], ends[number + 1])
                    line[places[part]] += data[part]  # a document stands once in a word's postings
        return table

    def scorer(self, queries: Sequence[str]) -> Scorer:
        """The scores of `queries` by slices, for `retrieval`: memory is one tile of scores."""
        return lambda rows: self.scores(queries[rows])
