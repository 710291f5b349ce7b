"""Task `retrieval`: queries and documents, as pairs or as a corpus with ids.

Pairs: `data` has the columns query and document; candidates are all distinct documents. A corpus: `documents` has the columns id and
document, and `data` query and relevant: an id, a list of ids, or {id: gain}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearfar.core.errors import DataError
from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval
from nearfar.probes.scores import vector_scores
from nearfar.training.held_out import candidates

COLUMNS = {"query": "text", "document": "text", "id": "any", "relevant": "any"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """documents: file of the corpus, else the documents of the pairs; main: the metric that counts; at: its ranks k."""

    documents: str | None = None
    main: str = "ndcg@10"
    at: tuple[int, ...] = (1, 10, 100)


def files(work: Work) -> None:
    """Read all files."""
    _read(work)


def measure(work: Work) -> Outcome:
    """Where the relevant documents stand among all."""
    queries, documents, relevant = _read(work)
    x, y = work.vectors(queries, "query"), work.vectors(documents, "document")
    found = retrieval(vector_scores(x, y, cosine=work.cosine), relevant)
    outcome = found.outcome(at=work.settings.at, main=work.settings.main)
    return named(outcome, [queries[number] for number in found.queries])


def _read(work: Work) -> tuple[list[str], list[str], list[Any]]:
    """Distinct queries, documents, and the rows of the relevant ones for each query."""
    if work.settings.documents is None:
        pairs = work.table(roles=("query", "document"))
        documents, rows = candidates(pairs["query"], pairs["document"])
        return list(dict.fromkeys(pairs["query"])), documents, rows
    corpus = work.table("documents", ("id", "document"))
    asked = work.table(roles=("query", "relevant"))
    place = {str(name): row for row, name in enumerate(corpus["id"])}
    if len(place) < len(corpus):
        raise DataError("two documents have the same id", where="documents", remedy="give each its own")
    return asked["query"], corpus["document"], [_rows(r, place, i) for i, r in enumerate(asked["relevant"])]


def _rows(relevant: Any, place: Mapping[str, int], number: int) -> Mapping[int, float]:
    """Rows of documents with their gains."""
    given = relevant if isinstance(relevant, Mapping) else None
    if given is None:
        given = dict.fromkeys(relevant if isinstance(relevant, (list, tuple)) else [relevant], 1.0)
    lacking = [name for name in given if str(name) not in place]
    if lacking:
        raise DataError(
            f"no document has the id {lacking[0]!r}",
            where=f"query {number}, relevant",
            remedy="name documents by the ids that their file gives them",
        )
    return {place[str(name)]: float(gain) for name, gain in given.items()}
