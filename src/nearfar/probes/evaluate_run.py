"""A TREC run measured by qrels: the metrics of `retrieval` for rankings that were made elsewhere, perhaps by another system.

A document that is not in a query's list was not retrieved: it is below all that are, at no rank in particular, and adds nothing to any
metric (its reciprocal rank is 0), however relevant; it does count among the relevant documents that recall, MAP and the ideal
order of nDCG speak of. A retrieved document without a judgement is not relevant. Both are what trec_eval does. Two things differ from
it on purpose: tied scores are averaged over all their orders, where trec_eval takes that of the documents' names, and the rank column
counts for as little as there; and a query of the qrels that the run lacks scores 0, where trec_eval leaves it out unless told `-c`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.retrieval import Retrieval, in_lists

CARD = Card(
    name="evaluate_run",
    summary="a run, {query: {document: score}}, measured by qrels, {query: {document: gain}}",
    related=("retrieval", "trec_files", "reranking"),
)


def evaluate_run(run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, float]]) -> Retrieval:
    """Where the judged documents of every query stand in its list.

    run    query -> document -> score, higher is better, as `read_run` gives it
    qrels  query -> document -> gain, as `read_qrels` gives it; 0 and less: judged, not relevant

    Queries are those of the qrels, in their order, and carry their names. `unanswerable` counts those without a relevant
    document; queries of the run that nobody judged are left out.

    >>> found = evaluate_run({"q1": {"a": 3.0, "b": 2.0}, "q2": {"c": 1.0}}, {"q1": {"b": 1, "z": 1}, "q2": {"c": 1}})
    >>> found.values("mrr").tolist(), found.values("recall@10").tolist(), found.names
    ([0.5, 1.0], [0.5, 1.0], ('q1', 'q2'))

    Raises DataError for scores or gains that are NaN, and where run and qrels share no query, or no query has a relevant document.
    """
    if not set(run) & set(qrels):
        raise DataError(
            f"the run has {len(run)} queries and the qrels {len(qrels)}, and they share none",
            where="run, qrels",
            remedy=f"name queries alike: the run has {_first(run)}, the qrels have {_first(qrels)}",
        )
    scores, judged = [], []
    for query, gains in qrels.items():
        retrieved = run.get(query, {})
        line = np.fromiter(retrieved.values(), np.float64, len(retrieved))
        if np.isnan(line).any():
            raise DataError(
                f"a score of query {query} is NaN", where="run", remedy="look for a model that diverged in training"
            )
        number = {document: place for place, document in enumerate(retrieved)}
        missing = (d for d in gains if d not in number)
        number |= {document: place for place, document in enumerate(missing, len(line))}
        scores.append(line)
        judged.append({number[document]: gain for document, gain in gains.items()})
    return in_lists(scores, judged, list(qrels))


def _first(table: Mapping[str, object]) -> str:
    return repr(next(iter(table), "none"))
