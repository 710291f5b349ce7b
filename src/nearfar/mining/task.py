"""What is mined for whom: distinct queries and documents by number, their texts, ids and vectors, and what the result depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.cells import text
from nearfar.data.records import Records
from nearfar.mining.choice import Rules

PROBED = 8  # texts by whose vectors a model without a fingerprint is known

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class Task:
    """What is mined for whom: distinct queries and documents by number, in the order in which they first occur."""

    def __init__(
        self,
        model: Any,
        records: Records,
        corpus: Sequence[str] | None,
        guide: Any,
        search: Search | None,
        rules: Rules,
        similarity: str | None,
        precision: str,
        chunk: int,
    ) -> None:
        self.model, self.records, self.corpus = model, records, corpus
        self.guide, self.search, self.rules, self.precision, self.chunk = guide, search, rules, precision, chunk
        said = getattr(model, "similarity", None)  # elsewhere this may be a function
        self.cosine = (similarity or ("dot" if said == "dot" else "cosine")) == "cosine"
        sides = [_ids(records, side, chunk) for side in ("query", "document")]
        further = _corpus_ids(corpus or (), chunk)
        self.query_id, self._query_place, self.query_of = _distinct(sides[0])
        every = np.concatenate([sides[1], further])
        self.document_id, self._document_place, number = _distinct(every)
        self.queries, self.documents = len(self.query_id), len(self.document_id)
        self.number_in_corpus = number[len(records) :]
        # Positives of query i are _positive[start[i]:start[i + 1]], each once.
        both = np.unique(self.query_of * self.documents + number[: len(records)])
        self._positive = both % self.documents
        self.start = np.searchsorted(both // self.documents, np.arange(self.queries + 1))
        order = np.argsort(self.document_id)
        found = np.searchsorted(self.document_id[order], self.query_id).clip(max=self.documents - 1)
        self.own_text = np.where(self.document_id[order[found]] == self.query_id, order[found], -1)

    def query_texts(self, numbers: np.ndarray) -> list[str]:
        """Texts of distinct queries."""
        return self.records.many("query", self._query_place[numbers])

    def document_texts(self, numbers: np.ndarray) -> list[str]:
        """Texts of distinct documents, of the pairs or of the corpus."""
        place, n = self._document_place[numbers], len(self.records)
        if self.corpus is None:
            return self.records.many("document", place)
        texts = np.empty(len(place), dtype=object)
        texts[place < n] = self.records.many("document", place[place < n])
        texts[place >= n] = _many(self.corpus, place[place >= n] - n)
        return texts.tolist()

    def positives(self, query: int) -> np.ndarray:
        """Document numbers of a query's positives."""
        return self._positive[self.start[query] : self.start[query + 1]]

    def encode(self, model: Any, numbers: np.ndarray, side: Literal["query", "document"]) -> np.ndarray:
        """Vectors [n d] float32 of distinct queries or documents, of unit length for the cosine (zero ones stay)."""
        texts = self.query_texts(numbers) if side == "query" else self.document_texts(numbers)
        vectors = np.asarray(model.encode(texts, side=side), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise UsageError(
                f"encode gave an array of shape {list(vectors.shape)} for {len(texts):,} texts",
                where="model",
                remedy="give one vector a text: [n d]",
            )
        bad = np.flatnonzero(~np.isfinite(vectors).all(1))
        if len(bad):
            raise DataError(
                f"the vector of this {side} is not finite; {len(bad):,} of {len(vectors):,} are bad",
                where=f"{side} {texts[bad[0]]!r:.80}",
                remedy="look at the text, and whether training diverged",
            )
        if not self.cosine:
            return vectors
        length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return (vectors / np.where(length > 0, length, 1)).astype(np.float32)

    def plan(self) -> dict[str, Any]:
        """All that the result depends on, as JSON: unfinished work of another plan is not gone on with."""
        few_queries, few_documents = np.arange(min(PROBED, self.queries)), np.arange(min(PROBED, self.documents))
        plan = {
            "model": self._fingerprint(self.model),
            "data": self.records.fingerprint,
            "corpus": _digest(self.document_id[self.number_in_corpus]) if self.corpus is not None else None,
            "settings": {
                **self.rules._asdict(),
                "cosine": self.cosine,
                "precision": self.precision,
                "chunk": self.chunk,
            },
            "guide": None,
            "search": None,
        }
        if self.guide is not None and hasattr(self.guide, "encode"):
            plan["guide"] = self._fingerprint(self.guide)
        elif self.guide is not None:
            few = np.arange(min(PROBED, len(self.records)))
            plan["guide"] = _digest(
                self.guide_scores(self.records.many("query", few), self.records.many("document", few))
            )
        if self.search is not None:
            # A search is known by what it finds.
            found = self.search(
                self.encode(self.model, few_queries, "query"), min(len(few_documents), len(self.corpus or ()))
            )
            plan["search"] = _digest(np.asarray(found[0], dtype=np.int64))
        return plan

    def guide_scores(self, queries: list[str], documents: list[str]) -> np.ndarray:
        """Scores [n] of a guide that is a function."""
        scores = np.asarray(self.guide(queries, documents), dtype=np.float64)
        if scores.shape != (len(queries),) or not np.isfinite(scores).all():
            raise UsageError(
                f"the guide gave {list(scores.shape)} scores for {len(queries):,} pairs, or some that are not finite",
                where="guide",
                remedy="give a model, or a function (queries, documents) -> one finite score a pair",
            )
        return scores

    def _fingerprint(self, model: Any) -> str:
        """The model's own, or of vectors of the first texts."""
        known = getattr(model, "fingerprint", None)
        if isinstance(known, str):
            return known
        few = [np.arange(min(PROBED, n)) for n in (self.queries, self.documents)]
        return _digest(*(self.encode(model, n, side) for n, side in zip(few, ("query", "document"), strict=True)))


def _ids(records: Records, side: str, chunk: int) -> np.ndarray:
    """63-bit ids [n] of the texts of a side, known or computed."""
    if side in records.columns:
        return records.columns[side]
    starts = range(0, len(records), chunk)
    return np.concatenate([string_ids(records.many(side, range(s, min(s + chunk, len(records))))) for s in starts])


def _corpus_ids(corpus: Sequence[str], chunk: int) -> np.ndarray:
    if isinstance(corpus, str):
        raise UsageError("the corpus is one string", where="corpus", remedy="give a list of texts")
    ids = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(corpus), chunk):
        texts = _many(corpus, range(start, min(start + chunk, len(corpus))))
        for i, document in enumerate(texts):
            try:
                text(document)
            except DataError as error:
                raise DataError(error.what, where=f"corpus[{start + i}]", remedy=error.remedy) from None
        ids.append(string_ids(texts))
    return np.concatenate(ids)


def _many(values: Sequence[Any], index: Sequence[int] | np.ndarray) -> list[Any]:
    """Items of a sequence, in one go where it can."""
    reader = getattr(values, "many", None)
    numbers = np.asarray(index, dtype=np.int64).tolist()
    return list(reader(numbers)) if reader is not None else [values[i] for i in numbers]


def _distinct(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct ids [m] in the order in which they first occur, where that is [m], and the number of each id among them [n]."""
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return unique[order], first[order], rank[inverse]


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
