"""Retrieval on held-out pairs: does each query find its document among all held-out documents?"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.model import Model
from nearfar.data.pair_table import PairTable
from nearfar.probes.retrieval import Retrieval, retrieval
from nearfar.probes.scores import vector_scores
from nearfar.probes.statistics import bootstrap


def candidates(table: PairTable) -> tuple[list[str], list[np.ndarray]]:
    """The distinct documents of a table, and for each of its distinct queries the rows of its right ones."""
    place: dict[str, int] = {}
    right: dict[str, set[int]] = {}
    for query, document in zip(table.queries, table.documents, strict=True):
        right.setdefault(query, set()).add(place.setdefault(document, len(place)))
    return list(place), [np.array(sorted(rows)) for rows in right.values()]


def measure(model: Model, table: PairTable) -> Retrieval:
    """Per-query ranks of the right documents among all distinct documents of the table."""
    documents, relevant = candidates(table)
    queries = list(dict.fromkeys(table.queries))
    x, y = model.encode(queries, side="query"), model.encode(documents, side="document")
    return retrieval(vector_scores(x, y, cosine=model.similarity == "cosine"), relevant)


def summary(result: Retrieval) -> dict[str, Any]:
    """Means with 95 % intervals, as JSON."""
    out: dict[str, Any] = {"queries": len(result)}
    for name, values in (("mrr", result.reciprocal_ranks), ("recall@10", result.recalls(10))):
        interval = bootstrap(values)
        out[name] = {"mean": float(interval.mean), "low": float(interval.low), "high": float(interval.high)}
    return out
