"""Reranking: each query has candidates of its own, found by another system, and a model orders them.

Metrics are those of `retrieval`, over each query's own list. A query all of whose candidates are relevant, or none, says nothing
about an order; the second kind is left out as everywhere, the first kept, as in MTEB's reranking tasks (Muennighoff et al. 2022, arXiv
2210.07316), whose main metric is MAP. Kin: `retrieval` ranks all documents for every query, `evaluate_run` lists with names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import in_lists
from nearfar.probes.shared.inputs import value_column

CARD = Card(
    name="reranking",
    summary="how well each query's own candidates are ordered: MAP, MRR, nDCG, graded",
    related=("retrieval", "evaluate_run", "outcome"),
    papers=("2210.07316",),
)


def reranking(
    scores: Sequence[Any], gains: Sequence[Any], *, at: Sequence[int] = (10,), names: Sequence[str] = ()
) -> Outcome:
    """Order each query's candidates by their scores.

    scores  for each query the scores [c] of its candidates, higher is better; c differs from query to query
    gains   for each query how relevant its candidates are [c]; 0 and less: not relevant
    at      the k of ndcg@k, recall@k, precision@k, hit@k
    names   of the queries

    Metrics: map (the main one), mrr, r_precision, ndcg@k, recall@k, precision@k, hit@k. Ties count as the mean over their orders.

    >>> found = reranking([[0.9, 0.1, 0.5], [-0.2, -0.3]], [[0, 0, 1], [2, 0]])
    >>> found.figures()["map"], found.figures()["ndcg@10"].__round__(3)
    (0.75, 0.815)

    Raises UsageError where the numbers of queries, candidates, gains or names differ, or a query has no candidate; DataError for NaN
    and where no query has a relevant candidate.
    """
    if len(scores) != len(gains) or len(names) not in (0, len(scores)):
        raise UsageError(
            f"{len(scores)} queries have scores, {len(gains)} gains" + (f", {len(names)} names" if len(names) else ""),
            where="scores, gains",
            remedy="give each query both",
        )
    lists = [value_column(line, f"scores[{query}]") for query, line in enumerate(scores)]
    judged = [value_column(g, f"gains[{query}]", length=len(lists[query])) for query, g in enumerate(gains)]
    if not any((line > 0).any() for line in judged):
        raise DataError(
            f"none of the {len(judged)} queries has a relevant candidate",
            where="gains",
            remedy="give relevant candidates a gain above 0",
        )
    found = in_lists(lists, [dict(enumerate(line.tolist())) for line in judged], names)
    made = found.outcome(at=at, main="map")
    means = tuple(name for name in made.means if name != "bpref" and not name.startswith("judged"))
    facts = {"candidates": int(sum(map(len, lists))), "unanswerable": found.unanswerable}
    return replace(
        made, probe="reranking", columns={name: made.columns[name] for name in means}, means=means, facts=facts
    )
