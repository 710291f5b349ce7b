"""What a representation is worth for search: where every relevant document of every query stands, and all metrics of that.

Only ranks count. A negative or zero score is a score like any other, and documents with equal scores are in no order:
a metric is its expected value over all orders of the tied documents, so that nobody gains by being indifferent. The formulas
are in `rank_metrics`.

        mrr, mrr@k        1 / rank of the first relevant document (0 beyond k)
        ndcg, ndcg@k      discounted gain over that of the ideal order: gain / log2(1 + rank); give 2**g - 1 for the other usage
        map, map@k        mean over relevant documents of the precision at their ranks (0 for those beyond k)
        recall@k          share of the relevant documents among the best k
        precision@k       share of relevant ones among the best k
        hit@k             whether a relevant one is among the best k
        r_precision       precision among as many as are relevant
        bpref             how rarely judged non-relevant documents stand above relevant ones
        judged@k          share of the best k of which anything is known

A document of which nothing is said counts as not relevant. Where judgements are incomplete, `judged@k` says how far; `bpref` looks
at judged documents only, and `condensed()` gives every metric on the rankings without unjudged documents (Sakai, "Alternatives to
bpref", SIGIR 2007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes import rank_metrics
from nearfar.probes.outcome import Outcome
from nearfar.probes.placing import Lists, place
from nearfar.probes.rank_metrics import Places
from nearfar.probes.scores import Scorer, scorer

CARD = Card(
    name="retrieval",
    summary="MRR, nDCG, MAP, recall, precision, hit rate over all documents, per query, ties counted fairly",
    related=("scores", "statistics", "bm25", "similarity_histogram"),
    public=("retrieval", "Retrieval"),
)

TILE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Where every judged document of every query stands. All metrics are computed from this.

    queries       [s] numbers of the scored queries; `unanswerable` others have nothing relevant and are left out
    offsets       [s+1] query i owns the judged documents offsets[i] to offsets[i+1] of the three columns below
    above         [p] documents scored strictly higher than this one
    tied          [p] documents with the same score, itself included; 0: it was not retrieved at all
    gains         [p] how relevant it is; 0: judged, and not relevant
    documents     number of documents, of the longest ranking where they differ
    unanswerable  queries without a relevant document
    ranked        [s] documents that are ranked for each query
    names         of the scored queries, where they have any
    """

    queries: NDArray[np.int64]
    offsets: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    gains: NDArray[np.float64]
    documents: int
    unanswerable: int
    ranked: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def reciprocal_ranks(self) -> NDArray[np.float64]:
        """1 / rank of the first relevant document, for every scored query [s]."""
        return rank_metrics.reciprocal_rank(self._relevant)

    def recalls(self, k: int) -> NDArray[np.float64]:
        """Share of its relevant documents among the best `k`, for every scored query [s]."""
        return rank_metrics.recall(self._relevant, _positive(k))

    def hits(self, k: int) -> NDArray[np.float64]:
        """Whether a relevant document is among the best `k` (a chance where ties decide), per scored query [s]."""
        return rank_metrics.hit(self._relevant, _positive(k))

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(self.reciprocal_ranks.mean())

    def recall(self, k: int) -> float:
        """Mean recall among the best `k`."""
        return float(self.recalls(k).mean())

    def hit(self, k: int) -> float:
        """Share of queries with a relevant document among the best `k`."""
        return float(self.hits(k).mean())

    def ndcg(self, k: int) -> float:
        """Mean normalised discounted cumulative gain among the best `k`."""
        return self.figure(f"ndcg@{_positive(k)}")

    def precision(self, k: int) -> float:
        """Mean share of relevant documents among the best `k`."""
        return self.figure(f"precision@{_positive(k)}")

    def figure(self, metric: str) -> float:
        """The mean of a metric over the scored queries: figure("map"), figure("ndcg@10")."""
        return float(self.values(metric).mean())

    def values(self, metric: str) -> NDArray[np.float64]:
        """Per-query values [s] of "mrr", "ndcg@10", "map", "recall@10" ..., for intervals and paired comparisons.

        Raises UsageError for another metric, and for "bpref" or "judged@k" where no document is judged not relevant.
        """
        kind, at, k = metric.partition("@")
        if metric == "mrr":
            return self.reciprocal_ranks
        if metric == "bpref":
            self._require_judgements(metric)
            return rank_metrics.bpref(self._relevant, self._places(self.gains == 0))
        if not at and kind in rank_metrics.WHOLE:
            return rank_metrics.WHOLE[kind](self._relevant)
        if k.isdecimal() and int(k) > 0:
            if kind in rank_metrics.AT:
                return rank_metrics.AT[kind](self._relevant, int(k))
            if kind == "judged":
                self._require_judgements(metric)
                judged = self._places(np.ones(len(self.gains), dtype=bool))
                return judged.summed(judged.chance(int(k))) / np.clip(self.ranked, 1, int(k))
        raise UsageError(
            f"no retrieval metric is called {metric!r}",
            remedy="use mrr, ndcg@10, map, recall@10, precision@10, hit@10, r_precision, bpref or judged@10 (any k)",
        )

    def table(self, at: Sequence[int] = (1, 10, 100)) -> dict[str, float]:
        """The figures by name, with the numbers of queries and candidates they rest on."""
        counts = {"queries": len(self), "unanswerable": self.unanswerable, "documents": self.documents}
        return {"mrr": self.mrr} | {f"recall@{k}": self.recall(k) for k in at} | counts

    def outcome(self, at: Sequence[int] = (1, 10, 100), main: str = "ndcg@10") -> Outcome:
        """Every metric of every query, at several k, in the form of all probes.

        >>> retrieval([[3.0, 2.0, 1.0]], [1]).outcome(at=(1, 2), main="mrr").figures()["ndcg@2"].__round__(4)
        0.6309
        """
        names = ["mrr", "map", "r_precision"]
        names += [f"{kind}@{k}" for kind in ("ndcg", "recall", "precision", "hit") for k in at]
        if (self.gains == 0).any():
            names += ["bpref", *(f"judged@{k}" for k in at)]
        names = list(dict.fromkeys([main, *names]))
        return Outcome(
            "retrieval",
            main,
            "queries",
            {name: self.values(name) for name in names},
            means=tuple(names),
            names=self.names or [str(query) for query in self.queries],
            facts={"documents": self.documents, "unanswerable": self.unanswerable},
        )

    def condensed(self) -> Retrieval:
        """The same rankings without the documents that nobody judged: a metric of these asks how the judged ones are ordered.

        Raises UsageError where no document is judged not relevant: nothing but relevant ones would be left.
        """
        self._require_judgements("a condensed list")
        places = self._places(np.ones(len(self.gains), dtype=bool))
        found = self.tied > 0
        before, equal = places.standing
        ranked = places.summed(found).astype(np.int64)
        longest = int(ranked.max(initial=1))
        above, tied = np.where(found, before, longest), np.where(found, equal, 0)
        return Retrieval(
            self.queries, self.offsets, above, tied, self.gains, longest, self.unanswerable, ranked, self.names
        )

    @cached_property
    def _relevant(self) -> Places:
        return self._places(self.gains > 0)

    def _places(self, chosen: NDArray[np.bool_]) -> Places:
        offsets = np.concatenate([[0], np.cumsum(chosen)])[self.offsets]
        return Places(offsets, self.above[chosen], self.tied[chosen], self.gains[chosen], self.documents)

    def _require_judgements(self, what: str) -> None:
        if not (self.gains == 0).any():
            raise UsageError(
                f"{what} needs documents that are judged and not relevant, and there are none",
                where="relevant",
                remedy="give each query its judged documents with their gains, {row: gain}, 0 for those not relevant",
            )


def retrieval(scores: Scorer | Any, relevant: Any, *, excluded: Any = None, tile_bytes: int = TILE_BYTES) -> Retrieval:
    """Rank all documents for every query and note where the relevant ones stand.

    scores      a function from a slice of queries to their scores [q n]; or a whole matrix [q n]; or a pair
                (queries [q d], documents [n d]) of vector tables, compared by cosine, or `vector_scores` of them
    relevant    for each query the row of its document (-1: none), a sequence of rows, or a mapping {row: gain}, where a gain of
                zero or less says that the document was judged and is not relevant. Queries without a relevant document are
                left out of every mean and counted in `unanswerable`
    excluded    for each query rows that are no candidates, in the same forms (the query itself, what is known already); a
                document that is also in `relevant` stays
    tile_bytes  bound on the memory of a tile of scores

    Vectors are ranked by exact scores, whatever the order of sums in a matrix product: equal vectors are tied.

    >>> found = retrieval([[-0.1, -0.9], [-0.5, -0.5]], [0, 1])
    >>> found.reciprocal_ranks.tolist()           # all scores negative; the second query's two documents are tied
    [1.0, 0.75]
    >>> retrieval([[0.3, 0.2, 0.1]], [{0: 1, 1: 3}]).ndcg(10).__round__(4)
    0.7967

    Raises DataError for scores that are NaN, rows outside the documents, or no query with a relevant document at all;
    UsageError for numbers of queries that differ.
    """
    judged, gains = judgements(relevant)
    total = len(judged)
    if not (gains > 0).any():
        raise DataError(
            f"none of the {total} queries has a relevant document",
            where="relevant",
            remedy="give each query its row(s)",
        )
    answerable = np.bincount(judged.owner[gains > 0], minlength=total) > 0
    kept = answerable[judged.owner]
    judged, gains = _kept(judged, kept), gains[kept]
    score = scorer(scores, total)
    left_out = _without(judgements(excluded, "excluded")[0], judged) if excluded is not None else _none(total)
    if len(left_out) != total:
        raise UsageError(
            f"`excluded` speaks of {len(left_out)} queries, `relevant` of {total}",
            where="excluded",
            remedy="give one entry of each a query",
        )
    above, tied, documents = place(score, judged, left_out, tile_bytes)
    queries = np.flatnonzero(answerable)
    offsets = judged.offsets[np.append(queries, total)]
    ranked = documents - left_out.counts[queries]
    return Retrieval(queries, offsets, above, tied, gains, documents, total - len(queries), ranked)


def in_lists(scores: Sequence[Any], relevant: Any, names: Sequence[str] = ()) -> Retrieval:
    """Where relevant documents stand in rankings of their own: scores [c] of each query's candidates, and `relevant` as above.

    A row beyond the candidates is a document that was not retrieved.
    """
    judged, gains = judgements(relevant)
    lengths = np.array([len(line) for line in scores], dtype=np.int64)
    documents = int(lengths.max(initial=1))
    above, tied = np.full(len(gains), documents), np.zeros(len(gains), np.int64)
    for query, line in enumerate(scores):
        mine = np.arange(judged.offsets[query], judged.offsets[query + 1])
        mine = mine[judged.rows[mine] < len(line)]
        ordered, own = np.sort(line), np.asarray(line)[judged.rows[mine]]
        not_above = np.searchsorted(ordered, own, side="right")
        above[mine] = len(line) - not_above
        tied[mine] = not_above - np.searchsorted(ordered, own, side="left")
    answerable = np.flatnonzero(np.bincount(judged.owner[gains > 0], minlength=len(judged)))
    if not len(answerable):
        raise DataError(
            f"none of the {len(judged)} queries has a relevant document", where="relevant", remedy="give some a gain"
        )
    kept = np.isin(judged.owner, answerable)
    offsets = _kept(judged, kept).offsets[np.append(answerable, len(judged))]
    chosen = tuple(names[query] for query in answerable.tolist()) if names else ()
    return Retrieval(
        answerable,
        offsets,
        above[kept],
        tied[kept],
        gains[kept],
        documents,
        len(judged) - len(answerable),
        lengths[answerable],
        chosen,
    )


def judgements(relevant: Any, where: str = "relevant") -> tuple[Lists, NDArray[np.float64]]:
    """`relevant` as lists of distinct rows, and the gain of each row, not below 0.

    Raises DataError for rows that are no whole numbers from 0, and for gains that are no numbers.
    """
    if isinstance(relevant, Tensor):
        relevant = relevant.cpu().numpy()
    if not len(relevant):
        raise DataError("there are no queries", where=where, remedy="give one entry a query")
    if all(np.ndim(rows) == 0 and not isinstance(rows, Mapping) for rows in relevant):
        column = np.asarray(relevant)
        lists = [column[i : i + 1] for i in range(len(column))]
        lists = [rows if rows[0] != -1 else rows[:0] for rows in lists]
    else:
        lists = [np.atleast_1d(np.asarray(list(r) if isinstance(r, Mapping | set) else r)) for r in relevant]
    for query, rows in enumerate(lists):
        if len(rows) and (rows.dtype.kind not in "iu" or rows.min() < 0):
            raise DataError(
                f"query {query} names {rows.min()} as a document",
                where=where,
                remedy="rows are whole numbers from 0; -1 or an empty list says that there is none",
            )
    counts = np.array([len(rows) for rows in lists])
    gains = [
        np.fromiter(r.values(), np.float64, len(r)) if isinstance(r, Mapping) else np.ones(n)
        for r, n in zip(relevant, counts, strict=True)
    ]
    owner = np.repeat(np.arange(len(lists)), counts)
    rows = np.concatenate([*lists, np.empty(0, np.int64)]).astype(np.int64)
    flat = np.concatenate([*gains, np.empty(0)])
    if not np.isfinite(flat).all():
        bad = int(np.flatnonzero(~np.isfinite(flat))[0])
        raise DataError(
            f"the gain of row {rows[bad]} for query {owner[bad]} is {flat[bad]}", where=where, remedy="give a number"
        )
    order = np.lexsort((rows, owner))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(owner[order]) != 0) | (np.diff(rows[order]) != 0)
    order = order[first]
    counts = np.bincount(owner[order], minlength=len(lists))
    return Lists(np.concatenate([[0], np.cumsum(counts)]), rows[order]), np.maximum(flat[order], 0.0)


def _kept(lists: Lists, kept: NDArray[np.bool_]) -> Lists:
    return Lists(np.concatenate([[0], np.cumsum(kept)])[lists.offsets], lists.rows[kept])


def _without(lists: Lists, others: Lists) -> Lists:
    """The lists without what stands in the others'."""
    if len(lists) != len(others):
        return lists
    width = 1 + max(lists.rows.max(initial=0), others.rows.max(initial=0))
    return _kept(lists, ~np.isin(lists.owner * width + lists.rows, others.owner * width + others.rows))


def _none(total: int) -> Lists:
    return Lists(np.zeros(total + 1, np.int64), np.empty(0, np.int64))


def _positive(k: int) -> int:
    if k < 1:
        raise UsageError(f"the best {k} are none", where="k", remedy="k is 1 or more")
    return k
