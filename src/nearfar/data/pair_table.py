"""`PairTable`: pairs of texts, with the ids that tell which of them must not be each other's negatives.

Two pairs with the same document, or with the same query, are no negatives of each other: the other's document is the
row's own, or another right answer to the row's query. Nor is a document a negative of a query with the same words.
Queries and documents share one space of ids, so each of these is an equality of two columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nearfar.core.ids import string_ids
from nearfar.data.records import Note, Records


@dataclass(frozen=True, eq=False)
class PairTable:
    """n pairs: `queries` [n], `documents` [n], and of each any number of explicit hard `negatives` [n][...].

    `columns` are the names that the sides had, `source` says in words where they come from, `notes` what was found odd,
    `further` are columns [n] of numbers that were asked for, such as labels.
    """

    queries: list[str]
    documents: list[str]
    negatives: list[list[str]]
    columns: tuple[str, ...] = ("query", "document")
    source: str = "data in hand"
    notes: tuple[Note, ...] = ()
    further: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def record(self) -> np.ndarray:
        """The number of each pair [n] int64, from 0."""
        return np.arange(len(self), dtype=np.int64)

    @cached_property
    def query_id(self) -> np.ndarray:
        """Ids of the queries [n] int64: equal for equal texts, also for a document of the same text."""
        return string_ids(self.queries)

    @cached_property
    def document_id(self) -> np.ndarray:
        """Ids of the documents [n] int64, from the same space as `query_id`."""
        return string_ids(self.documents)

    @cached_property
    def has_negatives(self) -> bool:
        """Whether any pair has explicit hard negatives."""
        return any(self.negatives)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all texts in order, in hexadecimal; names, source and notes do not count."""
        digest = hashlib.sha256()
        for query, document, negatives in zip(self.queries, self.documents, self.negatives, strict=True):
            for text in (query, document, *negatives):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(b"%d:" % len(data) + data)  # lengths, so that no two tables read the same
            digest.update(b";")
        return digest.hexdigest()

    def take(self, index: Sequence[int] | np.ndarray) -> PairTable:
        """The pairs at `index`, in that order, without the notes."""
        numbers = np.asarray(index, dtype=np.int64).tolist()
        return PairTable(
            [self.queries[i] for i in numbers],
            [self.documents[i] for i in numbers],
            [self.negatives[i] for i in numbers],
            self.columns,
            self.source,
            further={name: values[numbers] for name, values in self.further.items()},
        )

    def records(self) -> Records:
        """The same pairs as records: fields query, document and negatives, columns of the texts' ids and those asked for."""
        fields = {"query": self.queries, "document": self.documents, "negatives": self.negatives}
        columns = {"query": self.query_id, "document": self.document_id}
        digest = self.fingerprint
        for name, values in sorted(self.further.items()):
            digest = hashlib.sha256(f"{digest} {name} {values.dtype}".encode() + values.tobytes()).hexdigest()
        return Records(fields, {**self.further, **columns}, self.source, self.notes, digest)
