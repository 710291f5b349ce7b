"""Every metric of a ranking: against its definition in loops over one order of documents, averaged over all orders that ties allow."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest

from nearfar.core.errors import DataError
from nearfar.probes.retrieval import in_lists, retrieval

# The definitions, for one query: `order` lists documents best first, `gains` has a gain for each judged one.


def is_relevant(document, gains):
    return gains.get(document, 0) > 0


def relevant(gains):
    return [d for d in gains if gains[d] > 0]


def mrr(order, gains, k):
    return next((1 / place for place, d in enumerate(order[:k], 1) if is_relevant(d, gains)), 0.0)


def hit(order, gains, k):
    return float(any(is_relevant(d, gains) for d in order[:k]))


def precision(order, gains, k):
    return sum(is_relevant(d, gains) for d in order[:k]) / k


def recall(order, gains, k):
    return sum(is_relevant(d, gains) for d in order[:k]) / len(relevant(gains))


def average_precision(order, gains, k):
    found, total = 0, 0.0
    for place, d in enumerate(order[:k], 1):
        if is_relevant(d, gains):
            found += 1
            total += found / place
    return total / len(relevant(gains))


def dcg(values):
    return sum(max(0, v) / log2(1 + place) for place, v in enumerate(values, 1))


def ndcg(order, gains, k):
    return dcg([gains.get(d, 0) for d in order[:k]]) / dcg(sorted(gains.values(), reverse=True)[:k])


def r_precision(order, gains, k):
    return precision(order, gains, len(relevant(gains)))


def bpref(order, gains, k):
    others = [d for d in gains if gains[d] <= 0]
    bound, above, total = min(len(others), len(relevant(gains))), 0, 0.0
    for d in order:
        if is_relevant(d, gains):
            total += 1 - min(above, len(relevant(gains))) / bound if bound else 1
        elif d in gains:
            above += 1
    return total / len(relevant(gains))


def judged(order, gains, k):
    return sum(d in gains for d in order[:k]) / max(1, min(k, len(order)))


DEFINITIONS = {
    "mrr": mrr,
    "hit": hit,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
    "ndcg": ndcg,
    "r_precision": r_precision,
    "bpref": bpref,
    "judged": judged,
}
WITHOUT_K = ("mrr", "map", "ndcg", "r_precision", "bpref")
ALWAYS_K = ("mrr", "hit", "precision", "recall", "map", "ndcg", "judged")
NAMES = [*WITHOUT_K, *(f"{kind}@{k}" for kind in ALWAYS_K for k in (1, 2, 3, 5, 9))]


def by_all_orders(name, scores, gains):
    """The mean of a metric over every order that the scores allow."""
    kind, _, k = name.partition("@")
    orders = [o for o in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(o))]
    return float(np.mean([DEFINITIONS[kind](list(o), gains, int(k) if k else 10**9) for o in orders]))


def rankings():
    """Queries with ties, graded judgements, unjudged documents, and for half of them a document that was not retrieved."""
    random = np.random.default_rng(5)
    for case in range(30):
        scores = random.integers(-2, 2, size=6).astype(float)
        rows = random.choice(6, size=random.integers(2, 7), replace=False)
        gains = dict(zip(rows.tolist(), random.choice([0, 0, 1, 2, 3], size=len(rows)).tolist(), strict=True))
        gains[int(rows[0])] = 2
        if case % 2:
            gains |= {6: 1, 7: 0}
        yield scores, gains


CASES = list(rankings())


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_mean_over_all_orders_of_tied_documents(name):
    found = in_lists([scores for scores, _ in CASES], [gains for _, gains in CASES]).values(name)
    expected = [by_all_orders(name, scores, gains) for scores, gains in CASES]
    assert found == pytest.approx(expected, abs=1e-12)
    # the wrong variant: ties in the order of rows, as a sort leaves them
    kind, _, k = name.partition("@")
    sorted_only = [
        DEFINITIONS[kind](np.argsort(-scores, kind="stable").tolist(), gains, int(k) if k else 10**9)
        for scores, gains in CASES
    ]
    no_matter = ("hit@9", "recall@9", "precision@9", "judged@9")  # of six documents all are among the best nine
    assert (found == pytest.approx(sorted_only, abs=1e-6)) == (name in no_matter)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "judged@1"])
def test_equals_the_definition_on_a_ranking_without_ties(name):
    random = np.random.default_rng(6)
    scores = random.normal(size=(20, 40))  # half of them negative
    gains = [
        {int(row): int(random.integers(0, 4)) for row in random.choice(40, size=12, replace=False)} | {query: 1}
        for query in range(20)
    ]
    found = retrieval(scores, gains).values(name)
    kind, _, k = name.partition("@")
    orders = np.argsort(-scores, axis=1)
    cut = int(k) if k else 10**9
    assert found == pytest.approx([DEFINITIONS[kind](o.tolist(), g, cut) for o, g in zip(orders, gains, strict=True)])
    backwards = [DEFINITIONS[kind](o[::-1].tolist(), g, cut) for o, g in zip(orders, gains, strict=True)]
    assert found != pytest.approx(backwards)


def test_known_answers():
    perfect, gains = [[-1.0, -2.0, -3.0, -4.0]], [{0: 3, 1: 1, 3: 0}]
    found = retrieval(perfect, gains)
    assert {name: found.figure(name) for name in ("mrr", "map", "ndcg", "ndcg@1", "bpref", "r_precision")} == {
        "mrr": 1,
        "map": 1,
        "ndcg": 1,
        "ndcg@1": 1,
        "bpref": 1,
        "r_precision": 1,
    }
    assert (found.precision(4), found.figure("judged@3"), found.figure("judged@100")) == (0.5, 2 / 3, 0.75)
    worst = retrieval(-np.array(perfect), gains)
    assert worst.figure("mrr") == 1 / 3
    assert worst.figure("map") == (1 / 3 + 2 / 4) / 2
    assert worst.figure("ndcg") == pytest.approx((1 / log2(4) + 3 / log2(5)) / (3 + 1 / log2(3)))
    assert worst.figure("bpref") == 0
    tied = retrieval([[0.0] * 4], gains)
    assert tied.figure("mrr") == pytest.approx(np.mean([1, 1, 1, 1 / 2, 1 / 2, 1 / 3]))
    assert tied.figure("bpref") == pytest.approx(0.5), "one judged non-relevant document, above each half of the time"
    assert tied.figure("precision@2") == pytest.approx(0.5)


def test_exponential_gains_are_given_as_such():
    scores, gains = [[3.0, 2.0, 1.0]], {0: 1, 2: 3}
    linear = retrieval(scores, [gains]).ndcg(10)
    exponential = retrieval(scores, [{d: 2**g - 1 for d, g in gains.items()}]).ndcg(10)
    assert exponential == pytest.approx(dcg([1, 0, 7]) / dcg([7, 1]))
    assert linear == pytest.approx(dcg([1, 0, 3]) / dcg([3, 1]))
    assert exponential < linear


def test_condensed_lists_hold_judged_documents_only():
    for scores, gains in CASES:
        if all(g > 0 for g in gains.values()):
            continue
        whole = in_lists([scores], [gains])
        rows = sorted(d for d in gains if d < len(scores))
        number = {d: i for i, d in enumerate(rows)} | {d: len(rows) + i for i, d in enumerate([6, 7]) if d in gains}
        only = in_lists([scores[rows]], [{number[d]: g for d, g in gains.items()}])
        for name in NAMES:
            assert whole.condensed().values(name) == pytest.approx(only.values(name), abs=1e-12), name
    scores, gains = [[4.0, 3.0, 2.0, 1.0]], [{1: 0, 3: 1}]
    found = retrieval(scores, gains)
    assert (found.mrr, found.condensed().mrr) == (1 / 4, 1 / 2), "two unjudged documents are gone"
    assert found.figure("bpref") == found.condensed().figure("bpref") == 0


def test_outcome_keeps_every_query():
    found = retrieval([[3.0, 2.0], [1.0, 2.0], [0.0, 0.0]], [{0: 1, 1: 0}, [0], []])
    outcome = found.outcome(at=(1, 2), main="mrr")
    assert (outcome.units, outcome.main, list(outcome.names)) == ("queries", "mrr", ["0", "1"])
    assert outcome.facts == {"documents": 2, "unanswerable": 1}
    assert outcome.figure() == 0.75
    assert outcome.figures()["hit@1"] == 0.5
    assert outcome.columns["judged@2"].tolist() == [1.0, 0.5]
    assert retrieval([[1.0, 0.0]], [0]).outcome().main == "ndcg@10"
    assert "bpref" not in retrieval([[1.0, 0.0]], [0]).outcome().figures(), "nothing is judged not relevant"


def test_excluded_documents_are_in_no_ranking():
    random = np.random.default_rng(8)
    scores = random.integers(-3, 3, size=(15, 12)).astype(float)
    judged = [
        {int(d): int(random.integers(0, 3)) for d in random.choice(12, 4, replace=False)} | {q % 12: 1}
        for q in range(15)
    ]
    excluded = [random.choice(12, size=q % 5, replace=False) for q in range(15)]
    found = retrieval(scores, judged, excluded=excluded)
    lists, gains = [], []
    for q in range(15):
        stays = [d for d in range(12) if d not in excluded[q] or d in judged[q]]
        lists.append(scores[q][stays])
        gains.append({stays.index(d): g for d, g in judged[q].items()})
    expected, without = in_lists(lists, gains), retrieval(scores, judged)
    assert found.ranked.tolist() == [len(line) for line in lists]
    for name in NAMES:
        assert found.values(name) == pytest.approx(expected.values(name), abs=1e-12), name
    assert found.values("map") != pytest.approx(without.values("map"))


def test_in_lists_errors():
    with pytest.raises(DataError, match="none of the 2 queries"):
        in_lists([[1.0], [2.0]], [[], {0: 0}])
