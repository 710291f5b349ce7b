"""Near-duplicates are those of brute force, whatever the blocks; chains join, planted ones are found, candidates miss what they miss."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nearfar.core.errors import UsageError
from nearfar.maths.pairs_above import pairs_above
from nearfar.search.dedupe import NEAREST, Links, candidate_pairs, duplicates


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def planted(groups=40, copies=3, d=32, noise=0.02, seed=0):
    """Rows in a random order, the group of each, and as many strangers as there are groups."""
    draws = np.random.default_rng(seed)
    group = np.r_[np.repeat(np.arange(groups), copies), np.arange(groups, 2 * groups)]
    rows = unit(draws.standard_normal((2 * groups, d)))[group]
    order = draws.permutation(len(group))
    return unit(rows + noise * draws.standard_normal(rows.shape))[order], group[order]


def brute(vectors, threshold):
    """(pairs, the earliest row of each group) by loops."""
    exact = vectors.astype(np.float64)
    pairs = [
        (a, b)
        for a, b in itertools.combinations(range(len(vectors)), 2)
        if np.float32((exact[a] * exact[b]).sum()) >= np.float32(threshold)
    ]
    stays = list(range(len(vectors)))
    for _ in vectors:
        for a, b in pairs:
            stays[a] = stays[b] = min(stays[a], stays[b])
    return pairs, stays


def found_pairs(vectors, threshold, block=(1024, 8192)):
    tiles = list(pairs_above(vectors, threshold, block=block))
    return sorted((int(a), int(b)) for tile in tiles for a, b in zip(tile.a, tile.b, strict=True))


# Few directions, so that there are many equal vectors, chains, and cosines at the threshold itself.
directions = arrays(np.int8, st.tuples(st.integers(1, 14), st.just(3)), elements=st.integers(-2, 2)).filter(
    lambda x: bool(np.abs(x).sum(1).all())
)


@given(directions, st.sampled_from([0.3, 0.5, 0.6, 0.8, 0.9, 1.0]), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_pairs_and_groups_are_those_of_brute_force(rows, threshold, tall, wide):
    vectors = unit(rows)
    least = min(threshold, 1 - 1e-6)
    pairs, stays = brute(vectors, least)
    assert found_pairs(vectors, least, (tall, wide)) == sorted(pairs)
    found = duplicates(vectors, threshold)
    assert found.stays.tolist() == stays
    assert found.pairs == len(pairs) == sum(found.counts.values())
    assert found.cosines == pytest.approx((vectors * vectors[stays]).sum(1), abs=1e-6)


def test_blocks_do_not_decide_at_the_threshold():
    """All cosines are the threshold up to rounding, where a product in float32 says yes in one block and no in another."""
    draws = np.random.default_rng(0)
    vectors = unit(draws.standard_normal((60, 96)) + 3)
    exact = vectors.astype(np.float64)
    threshold = float(np.float32((exact[3] * exact[40]).sum()))
    whole = found_pairs(vectors, threshold)
    assert (3, 40) in whole
    assert all(found_pairs(vectors, threshold, block) == whole for block in ((1, 1), (7, 11), (60, 3)))
    assert (3, 40) not in found_pairs(vectors, float(np.nextafter(np.float32(threshold), np.float32(2))))  # known bad


def test_planted_copies_are_found_and_strangers_stay():
    vectors, group = planted()
    found = duplicates(vectors, 0.95)
    assert {frozenset(part.tolist()) for part in found.groups()} == {
        frozenset(np.flatnonzero(group == g).tolist()) for g in range(40)
    }
    assert len(found.dropped) == 80
    assert (found.stays[found.dropped] < found.dropped).all(), "the earliest stays"
    assert set(np.setdiff1d(np.arange(len(group)), found.dropped)) >= set(np.flatnonzero(group >= 40))
    wrong = duplicates(vectors, 0.9999)  # known bad: a threshold that nothing but copies to the last digit reaches
    assert len(wrong.groups()) < 40


def test_links_join_to_chains_and_the_cosine_shows_it():
    angles = np.deg2rad([0, 10, 20, 30, 120])
    found = duplicates(unit(np.c_[np.cos(angles), np.sin(angles)]), 0.98)
    assert [part.tolist() for part in found.groups()] == [[0, 1, 2, 3]]
    assert found.cosines == pytest.approx(np.cos(np.deg2rad([0, 10, 20, 30, 0])), abs=1e-6)
    assert found.cosines[3] < 0.98 <= found.cosines[1]
    assert found.pairs == 3


def test_pairs_are_counted_by_ranges_and_handed_on():
    vectors = unit([[1, 0], [1, 0], [1, 0.12], [0, 1]])
    seen = []
    found = duplicates(vectors, 0.95, each=seen.append)
    assert sum(len(p.a) for p in seen) == found.pairs == 3
    assert {edge: count for edge, count in found.counts.items() if count} == {0.99: 2, 0.999: 1}
    assert min(found.counts) == 0.95


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_links_are_components_with_their_lowest_row(n, pairs):
    pairs = [(a % n, b % n) for a, b in pairs]
    links = Links(n)
    for some in (pairs[:20], pairs[20:]):
        a, b = np.array(some, dtype=np.int64).reshape(-1, 2).T
        links.join(a, b)
    root = list(range(n))
    for _ in range(n):
        for a, b in pairs:
            root[a] = root[b] = min(root[a], root[b])
    assert links.roots().tolist() == root


def test_candidates_give_the_same_groups_where_they_hold_every_pair(monkeypatch):
    monkeypatch.setattr("nearfar.search.dedupe.QUERIES", 7)
    vectors, _ = planted(groups=12)

    def nearest(queries, k):
        return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]

    exact = duplicates(vectors, 0.95)
    by_candidates = duplicates(vectors, 0.95, nearest=nearest)
    assert by_candidates.stays.tolist() == exact.stays.tolist()
    assert by_candidates.counts == exact.counts, "a pair that both ends found counts once"

    def only_itself(queries, k):  # known bad
        return nearest(queries, 1)

    assert not duplicates(vectors, 0.95, nearest=only_itself).groups()
    # One end finds the other: that is a pair. -1 is nothing found.
    one_way = candidate_pairs(unit([[1, 0], [1, 0.01]]), 0.95, lambda q, k: np.array([[0, -1], [1, 0]]))
    assert (one_way.a.tolist(), one_way.b.tolist()) == ([0], [1])


def test_more_copies_than_candidates_are_one_group_still():
    vectors = unit(np.ones((3 * NEAREST, 4)))
    found = duplicates(vectors, 1.0, nearest=lambda q, k: np.tile(np.arange(k), (len(q), 1)))
    assert len(found.groups()[0]) == 3 * NEAREST


def test_a_threshold_that_is_none_is_refused():
    for wrong in (0.0, -1.0, 1.01, float("nan")):
        with pytest.raises(UsageError, match="near-duplicates"):
            duplicates(np.eye(2, dtype=np.float32), wrong)
    assert duplicates(np.empty((0, 4), dtype=np.float32)).groups() == []
