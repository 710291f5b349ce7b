"""Metrics of rankings with ties, as expected values over all orders of the tied documents, for many queries at once.

Documents with equal scores are in no order, and every order of them is as likely as another. Write g for the documents above a
relevant one, t for those tied with it (itself included), m for the relevant ones among these t, r for the relevant ones above all
of them, R for all relevant ones of the query. It stands at each of the places g+1 .. g+t with chance 1/t, of which
n = clip(k - g, 0, t) are among the best k. With H(j) = 1 + 1/2 + ... + 1/j and D(j) = sum over i <= j of 1 / log2(1 + i):

        recall@k     = sum over relevant of  n / t  / R                  precision@k the same over k, R-precision with k = R
        DCG@k        = sum over relevant of  gain (D(g + n) - D(g)) / t  nDCG@k is this over that of the ideal order
        AP@k         = sum over relevant of  (a n + (r + 1 - a (g + 1)) (H(g + n) - H(g))) / t  / R,   a = (m - 1) / (t - 1)
        RR           = sum over j = 1 .. t-m+1 of  P(j) / (g + j),   P(j) = C(t-j, m-1) / C(t, m),   for the best group with a relevant one
        bpref        = sum over relevant of  1 - E[min(c + U, R)] / min(R, N)  / R,   U uniform on 0 .. u

(a is the chance that another tied document before a relevant one is relevant too; c judged non-relevant documents stand above, u are
tied, N are all.) A relevant document that was not retrieved has t = n = 0 and adds nothing. Without ties these are the usual
definitions: Järvelin and Kekäläinen 2002 for nDCG with the gain itself in the numerator, Buckley and Voorhees 2004 for bpref, with
the denominators of trec_eval. McSherry and Najork, "Computing information retrieval performance measures efficiently in the
presence of tied scores", ECIR 2008, derive most of the above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Places:
    """Where some documents of each query stand in its ranking.

    offsets    [s+1] query i owns the documents offsets[i] to offsets[i+1] of the columns, one or more
    above      [p] ranked documents with a higher score
    tied       [p] ranked documents with the same score, itself included; 0: it was not retrieved
    gains      [p] how relevant it is; more than 0
    documents  no ranking is longer
    """

    offsets: Ints
    above: Ints
    tied: Ints
    gains: Floats
    documents: int

    @cached_property
    def owner(self) -> Ints:
        """The query of each document [p]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def counts(self) -> Ints:
        """Documents of each query [s]."""
        return np.diff(self.offsets)

    def summed(self, values: NDArray[np.generic]) -> Floats:
        """Sums over the documents of each query: [p] to [s]."""
        return np.add.reduceat(values, self.offsets[:-1]).astype(np.float64)

    def within(self, k: int | Ints | None) -> Ints:
        """Of the places that a document may have, those among the best k (k may differ from query to query): n [p]."""
        if k is None:
            return self.tied
        cut = k[self.owner] if isinstance(k, np.ndarray) else k
        return np.clip(cut - self.above, 0, self.tied)

    def chance(self, k: int | Ints) -> Floats:
        """The chance of each document to be among the best k [p]."""
        return self.within(k) / np.maximum(self.tied, 1)

    @cached_property
    def standing(self) -> tuple[Ints, Ints]:
        """Of each document [p]: how many of its query's are above it, and how many tied with it (itself included)."""
        return standing(self.owner, self.above)

    @cached_property
    def best(self) -> tuple[Ints, Ints, Ints]:
        """Of each query's best tie group [s]: documents above, its size, and how many of it are among these."""
        starts = self.offsets[:-1]
        above = np.minimum.reduceat(self.above, starts)
        inside = self.above == above[self.owner]
        size = np.maximum.reduceat(np.where(inside, self.tied, 0), starts)
        return above, size, np.add.reduceat(inside.astype(np.int64), starts)


def standing(owner: Ints, above: Ints) -> tuple[Ints, Ints]:
    """For documents [p] of queries `owner` [p] (rising): how many of the same query have fewer above them, and as many.

    >>> standing(np.array([0, 0, 0, 1]), np.array([5, 2, 2, 0]))
    (array([2, 0, 0, 0]), array([1, 2, 2, 1]))
    """
    order = np.lexsort((above, owner))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(owner[order]) != 0) | (np.diff(above[order]) != 0)
    group = np.cumsum(first) - 1
    start = np.flatnonzero(first)
    size = np.diff(np.append(start, len(order)))
    before, equal = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    before[order] = start[group] - np.searchsorted(owner, owner[order])
    equal[order] = size[group]
    return before, equal


def reciprocal_rank(places: Places, k: int | None = None) -> Floats:
    """1 / rank of the first relevant document, 0 where it is not among the best k [s]."""
    above, size, relevant = places.best
    within = size if k is None else np.clip(k - above, 0, size)
    inverse = 1 / np.arange(1, places.documents + 1)
    values = _spanned(inverse, above, within) / np.maximum(size, 1)  # right for one relevant document in the tie
    for i in np.flatnonzero((relevant > 1) & (size > 0)):
        chances = _chances(int(size[i]), int(relevant[i]))[: within[i]]
        values[i] = (chances / np.arange(above[i] + 1, above[i] + within[i] + 1)).sum()
    return values


def hit(places: Places, k: int) -> Floats:
    """Whether a relevant document is among the best k, a chance where ties decide [s]."""
    above, size, relevant = places.best
    within = np.clip(k - above, 0, size)
    values = within / np.maximum(size, 1)
    for i in np.flatnonzero((relevant > 1) & (size > 0)):
        values[i] = _chances(int(size[i]), int(relevant[i]))[: within[i]].sum()
    return values


def recall(places: Places, k: int) -> Floats:
    """The share of the relevant documents among the best k [s]."""
    return places.summed(places.chance(k)) / places.counts


def precision(places: Places, k: int) -> Floats:
    """The share of relevant documents among the best k; places that nothing holds count as misses [s]."""
    return places.summed(places.chance(k)) / k


def r_precision(places: Places) -> Floats:
    """Precision among as many as there are relevant documents [s]."""
    return places.summed(places.chance(places.counts)) / places.counts


def average_precision(places: Places, k: int | None = None) -> Floats:
    """The mean over all relevant documents of the precision at their ranks, 0 for those not among the best k [s]."""
    before, equal = places.standing
    tied, within = np.maximum(places.tied, 1), places.within(k)
    also = (equal - 1) / np.maximum(tied - 1, 1)
    inverse = _spanned(1 / np.arange(1, places.documents + 1), places.above, within)
    return places.summed((also * within + (before + 1 - also * (places.above + 1)) * inverse) / tied) / places.counts


def ndcg(places: Places, k: int | None = None) -> Floats:
    """Discounted gain among the best k over that of the ideal order [s]."""
    discounts = 1 / np.log2(1 + np.arange(1, max(places.documents, int(places.counts.max())) + 1))
    share = _spanned(discounts, places.above, places.within(k)) / np.maximum(places.tied, 1)
    place = np.arange(len(places.gains)) - places.offsets[places.owner]  # in the ideal order
    ideal = places.gains[np.lexsort((-places.gains, places.owner))] * discounts[place]
    best = places.summed(ideal if k is None else np.where(place < k, ideal, 0.0))
    return places.summed(places.gains * share) / best


def bpref(places: Places, others: Places | None) -> Floats:
    """How rarely judged non-relevant documents (`others`: of the same queries) stand above relevant ones; unjudged ones do not count [s]."""
    if others is None:
        return places.summed(places.tied > 0) / places.counts
    judged = np.concatenate([places.owner, others.owner])
    above = np.concatenate([places.above, others.above])
    order = np.argsort(judged, kind="stable")
    before, equal = np.empty_like(above), np.empty_like(above)
    before[order], equal[order] = standing(judged[order], above[order])
    own_before, own_equal = places.standing
    over, level = before[: len(own_before)] - own_before, equal[: len(own_equal)] - own_equal
    relevant, total = places.counts[places.owner], others.counts[places.owner]
    # u of 0 .. level tied ones come before it: c + u of them are fewer than R, of the rest R count
    few = np.clip(relevant - over, 0, level + 1)
    expected = (few * over + few * (few - 1) / 2 + (level + 1 - few) * relevant) / (level + 1)
    bound = np.minimum(relevant, total)
    value = np.where(bound > 0, 1 - expected / np.maximum(bound, 1), 1.0)
    return places.summed(np.where(places.tied > 0, value, 0.0)) / places.counts


def _chances(size: int, relevant: int) -> Floats:
    """Chance that the first of `relevant` documents in a tie of `size` comes at place 1, 2, ... [size]."""
    place = np.arange(1, size)
    ratios = np.maximum(size - place - relevant + 1, 0) / (size - place)
    return np.cumprod(np.concatenate([[relevant / size], ratios]), dtype=np.float64)


def _spanned(values: Floats, start: Ints, count: Ints) -> Floats:
    """Sums of `count` [p] values from `start` [p] on; of a single one, that one without rounding."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.where(count == 1, np.append(values, 0.0)[start], sums[start + count] - sums[start])


AT: dict[str, Callable[[Places, int], Floats]] = {
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
    "map": average_precision,
    "recall": recall,
    "precision": precision,
    "hit": hit,
}
WHOLE: dict[str, Callable[[Places], Floats]] = {
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
    "map": average_precision,
    "r_precision": r_precision,
}
