"""Reranking: each list against loops over all orders of its ties."""

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.reranking import reranking


def by_all_orders(scores, gains, k):
    """Average precision and nDCG@k over every order that the scores allow."""
    found = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            relevant = [place for place, d in enumerate(order, 1) if gains[d] > 0]
            ap = sum(number / place for number, place in enumerate(relevant, 1)) / len(relevant)
            discounted = [
                sum(gains[d] / log2(1 + place) for place, d in enumerate(some[:k], 1))
                for some in (order, sorted(order, key=lambda d: -gains[d]))
            ]
            found.append((ap, discounted[0] / discounted[1]))
    return np.mean(found, axis=0)


def test_equals_loops_over_lists_of_different_lengths():
    random = np.random.default_rng(0)
    lengths = [1, 2, 3, 4, 5, 6] * 4
    scores = [random.integers(-2, 2, size=n).astype(float) for n in lengths]
    gains = [np.append(random.integers(0, 3, size=n - 1), 1) for n in lengths]
    found = reranking(scores, gains, at=(3,), names=[f"q{i}" for i in range(len(lengths))])
    expected = np.array([by_all_orders(s, g, 3) for s, g in zip(scores, gains, strict=True)])
    assert found.columns["map"] == pytest.approx(expected[:, 0])
    assert found.columns["ndcg@3"] == pytest.approx(expected[:, 1])
    assert found.figure() == pytest.approx(expected[:, 0].mean())
    binary = np.array([by_all_orders(s, np.minimum(g, 1), 3) for s, g in zip(scores, gains, strict=True)])
    assert found.columns["ndcg@3"] != pytest.approx(binary[:, 1]), "grades count"
    assert found.names == tuple(f"q{i}" for i in range(len(lengths)))


def test_known_answers():
    gains = [[1, 0, 0], [0, 2, 0], [0, 0]]
    assert reranking([[3, 2, 1], [-9, -1, -5], [1, 2]], gains).figures()["map"] == 1
    worst = reranking([[1, 2, 3], [-1, -9, -5], [1, 2]], gains)
    assert worst.figure() == 1 / 3
    assert (len(worst), worst.facts) == (2, {"candidates": 8, "unanswerable": 1})
    assert reranking([[0, 0, 0]], [[1, 0, 0]]).figure("mrr") == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert set(worst.figures()) == {"map", "mrr", "r_precision", "ndcg@10", "recall@10", "precision@10", "hit@10"}


@pytest.mark.parametrize(
    ("scores", "gains", "names", "error", "message"),
    [
        ([[1.0]], [[1], [1]], (), UsageError, "1 queries have scores, 2 gains"),
        ([[1.0]], [[1]], ("a", "b"), UsageError, "2 names"),
        ([[1.0, 2.0]], [[1]], (), UsageError, r"gains\[0\]"),
        ([[]], [[]], (), UsageError, r"scores\[0\]"),
        ([[1.0], [np.nan]], [[1], [1]], (), DataError, r"scores\[1\]"),
        ([[1.0]], [[np.nan]], (), DataError, r"gains\[0\]"),
        ([[1.0]], [[0]], (), DataError, "none of the 1 queries"),
        ([], [], (), DataError, "none of the 0 queries"),
    ],
)
def test_errors(scores, gains, names, error, message):
    with pytest.raises(error, match=message):
        reranking(scores, gains, names=names)
