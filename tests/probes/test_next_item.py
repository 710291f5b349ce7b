"""Next item: full rankings against loops over items, seen ones left out."""

from math import log2

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.next_item import next_item
from nearfar.probes.scores import vector_scores


def by_loops(scores, target, seen, k):
    """Hit, NDCG and reciprocal rank where no score is tied."""
    made = []
    for line, right, left_out in zip(scores, target, seen, strict=True):
        better = [i for i in range(len(line)) if line[i] > line[right] and i not in left_out]
        rank = len(better) + 1
        made.append((float(rank <= k), 1 / log2(1 + rank) if rank <= k else 0.0, 1 / rank))
    return np.array(made)


def world(seed=0, n=40, items=30):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(n, items)) - 1
    target = random.integers(0, items, size=n)
    seen = [random.choice(items, size=s % 12, replace=False).tolist() for s in range(n)]
    return scores, target, seen


def test_equals_loops():
    scores, target, seen = world()
    found = next_item(scores, target, seen=seen, at=(3, 7))
    for k in (3, 7):
        hits, gains, reciprocal = by_loops(scores, target, seen, k).T
        assert found.columns[f"hit@{k}"].tolist() == hits.tolist()
        assert found.columns[f"ndcg@{k}"] == pytest.approx(gains)
        assert found.columns["mrr"] == pytest.approx(reciprocal)
    assert found.main == "ndcg@7"
    everything = next_item(scores, target, at=(3, 7))
    unseen = by_loops(scores, target, [[]] * 40, 7)
    assert everything.columns["ndcg@7"] == pytest.approx(unseen[:, 1])
    assert everything.figure() < found.figure(), "items seen before stood above some"


def test_the_target_stays_though_it_was_seen():
    scores, target, seen = world()
    also = [[*some, right] for some, right in zip(seen, target.tolist(), strict=True)]
    assert next_item(scores, target, seen=also).figures() == next_item(scores, target, seen=seen).figures()


def test_by_vectors_as_by_their_products():
    random = np.random.default_rng(3)
    states, items = random.normal(size=(50, 8)).astype(np.float32), random.normal(size=(70, 8)).astype(np.float32)
    target, seen = random.integers(0, 70, size=50), [random.choice(70, 5) for _ in range(50)]
    found = next_item(vector_scores(states, items, cosine=False), target, seen=seen)
    table = states.astype(np.float64) @ items.astype(np.float64).T
    assert found.figures() == next_item(table, target, seen=seen).figures()
    assert found.figures() != next_item((states, items), target, seen=seen).figures(), "by cosine"


def test_known_answers():
    perfect = next_item(np.eye(9), np.arange(9), at=(1,))
    assert perfect.figures() == {"ndcg@1": 1, "mrr": 1, "hit@1": 1}
    tied = next_item(np.zeros((3, 20)), [0, 7, 19], seen=[range(5, 10)] * 3, at=(10,))
    assert tied.columns["hit@10"].tolist() == pytest.approx([10 / 15, 10 / 16, 10 / 15])
    assert tied.facts == {"items": 20, "seen_left_out": True}
    assert list(next_item(np.eye(2), [0, 1], names=["ann", "bob"]).names) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("scores", "target", "seen", "error", "message"),
    [
        (np.eye(3), [0.0, 1.0, 2.0], None, UsageError, "float64"),
        (np.eye(3), [0, -1, 2], None, UsageError, "the least -1"),
        (np.eye(3), [[0], [1], [2]], None, UsageError, r"\[3, 1\]"),
        (np.eye(3), [0, 1], None, UsageError, "3 queries are scored"),
        (np.eye(3), [0, 1, 3], None, DataError, "row 3"),
        (np.eye(3), [0, 1, 2], [[0], [1]], UsageError, "`excluded` speaks of 2"),
        (np.eye(3), [0, 1, 2], [[0], [1], [5]], DataError, "row 5 is excluded"),
        (np.full((1, 3), np.nan), [0], None, DataError, "NaN"),
    ],
)
def test_errors(scores, target, seen, error, message):
    with pytest.raises(error, match=message):
        next_item(scores, target, seen=seen)
