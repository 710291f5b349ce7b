"""Columns computed of all records: known answers, the same in any order, and nothing that must not be."""

from __future__ import annotations

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.maths import nearest_chunked as maths
from nearfar.maths.nearest_chunked import nearest_allowed, nearest_chunked


def heaps(n=60, k=4, d=8, seed=0):
    """Vectors round k directions that are far apart, and which of them."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, k, n)
    return (3 * np.eye(k, d)[of] + 0.3 * rng.normal(size=(n, d))).astype(np.float32), of


def cosines(x, y):
    return (x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float64) @ (y / np.linalg.norm(y, axis=1)[:, None]).T


# Clusters.


def test_clusters_find_separate_heaps():
    x, of = heaps()
    found = nf.clusters(k=4)({"x": x}, {}, 0)
    assert found.dtype == np.int64
    assert found.shape == (60,)
    together = found[:, None] == found[None]
    assert (together == (of[:, None] == of[None])).all()
    assert (nf.clusters(k=4)({"x": 100 * x}, {}, 0) == found).all()  # only the direction counts


def test_clusters_are_a_function_of_seed_and_vectors(monkeypatch):
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    first = nf.clusters(k=10)({"x": x}, {}, 0)
    np.random.default_rng().normal()
    assert (nf.clusters(k=10)({"x": x}, {}, 0) == first).all()
    assert (nf.clusters(k=10)({"x": x}, {}, 1) != first).any()
    from nearfar.columns import clusters as module

    monkeypatch.setattr(module, "SAMPLE", 20)  # 200 of the 300 vectors
    sampled = nf.clusters(k=10)({"x": x}, {}, 0)
    assert (sampled != first).any()
    assert len(np.unique(sampled)) == 10
    assert (nf.clusters(k=10)({"x": x}, {}, 0) == sampled).all()


def test_a_stream_is_chosen_by_name():
    x = heaps()[0]
    vectors = {"x": np.ones_like(x), "y": x}
    assert len(np.unique(nf.clusters(k=4, stream="y")(vectors, {}, 0))) == 4
    with pytest.raises(UsageError, match="no stream 'z'"):
        nf.clusters(k=4, stream="z")(vectors, {}, 0)


# Nearest.


@pytest.mark.parametrize("k", [1, 5, 59, 70])
def test_nearest_are_those_of_largest_cosine(k):
    x, _ = heaps()
    found = nf.nearest(k=k)({"x": x}, {}, 0)
    scores = cosines(x, x)
    np.fill_diagonal(scores, -np.inf)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, 59)]
    assert found.shape == (60, k)
    assert (found[:, : min(k, 59)] == expected).all()
    assert (found[:, 59:] == -1).all()
    np.fill_diagonal(scores, np.inf)  # with itself among them it would be seen
    assert (found[:, 0] != np.argsort(-scores, axis=1, kind="stable")[:, 0]).all()


def test_equal_vectors_come_by_number_and_none_is_its_own_neighbour():
    x = np.tile(heaps(3)[0], (5, 1))
    found = nf.nearest(k=4)({"x": x}, {}, 0)
    for i in range(15):
        assert found[i].tolist() == [j for j in range(i % 3, 15, 3) if j != i]


# Mined negatives.


def naive(x, y, columns, per_record, skip, same):
    scores, made = cosines(x, y), []
    for i in range(len(x)):
        left = [
            j
            for j in np.argsort(-scores[i], kind="stable").tolist()
            if j != i
            and all(columns[c][i] != columns[c][j] for c in same if c in columns)
            and not ("query" in columns and "document" in columns and columns["document"][j] == columns["query"][i])
        ][skip : skip + per_record]
        made.append(left + [-1] * (per_record - len(left)))
    return np.array(made)


@pytest.mark.parametrize("columns", [(), ("label",), ("query", "document"), ("query", "document", "label")])
@pytest.mark.parametrize(("per_record", "skip"), [(1, 0), (3, 2), (50, 5)])
def test_negatives_are_the_nearest_that_are_not_related(columns, per_record, skip):
    rng = np.random.default_rng(1)
    (x, of), (y, _) = heaps(), heaps(seed=2)
    every = {
        "label": of,
        "query": rng.integers(0, 40, 60),
        "document": rng.integers(20, 60, 60),
        "place": rng.normal(size=(60, 2)),
    }
    given = {name: every[name] for name in (*columns, "place")}
    found = nf.mined_negatives(per_record=per_record, skip=skip)({"x": x, "y": y}, given, 0)
    expected = naive(x, y, given, per_record, skip, ("query", "document", "label"))
    assert (found == expected).all()
    assert found.dtype == np.int64
    if columns:
        unaware = nf.mined_negatives(per_record=per_record, skip=skip, same=())({"x": x, "y": y}, given, 0)
        assert (unaware != expected).any()


def test_one_stream_serves_both_sides_and_large_classes_are_searched_through(monkeypatch):
    monkeypatch.setattr(maths, "HELD", 100)
    x, _ = heaps(200, k=1)
    label = np.array([0] * 190 + [1] * 10)
    found = nf.mined_negatives(per_record=3)({"x": x}, {"label": label}, 0)
    assert (label[found[:190]] == 1).all()
    assert (label[found[190:]] == 0).all()
    assert (found == naive(x, x, {"label": label}, 3, 0, ("label",))).all()
    assert (nf.mined_negatives(per_record=3)({"x": x}, {"label": 0 * label}, 0) == -1).all()


# What they stand on.


def test_dot_products_of_any_length_are_exact():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(20, 16)) * 10 ** rng.uniform(-3, 3, (20, 1))).astype(np.float32)
    y = (rng.normal(size=(500, 16)) * 10 ** rng.uniform(-3, 3, (500, 1))).astype(np.float32)
    exact = np.einsum("qd,nd->qn", x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    expected = np.argsort(-exact, axis=1, kind="stable")[:, :30]
    for block in ((20, 500), (3, 64), (7, 1)):
        numbers, scores = nearest_chunked(x, y, 30, block=block)
        assert (numbers == expected).all()
        assert (scores == np.take_along_axis(exact, expected, 1)).all()
    half = nearest_chunked(x, y.astype(np.float16), 30)[0]
    assert (half == nearest_chunked(x, y.astype(np.float16).astype(np.float32), 30)[0]).all()
    assert nearest_chunked(x, y, 900)[0].shape == (20, 500)


def test_more_are_asked_for_until_enough_pass():
    x, _ = heaps(300)
    asked = []

    def rare(query, row):
        asked.append(row.shape[1])
        return row % 100 == 7

    found = nearest_allowed(x, x, 2, rare)
    scores = (x.astype(np.float64) @ x.T)[:, [7, 107, 207]]
    assert (found == np.array([7, 107, 207])[np.argsort(-scores, axis=1, kind="stable")[:, :2]]).all()
    assert len(asked) > 1  # asking once would have left some out


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: nf.clusters(k=0), "0 clusters"),
        (lambda: nf.nearest(k=0), "0 nearest"),
        (lambda: nf.mined_negatives(per_record=0), "0 negatives"),
        (lambda: nf.mined_negatives(skip=-1), "after -1"),
        (lambda: nf.clusters(k=9)({"x": np.ones((3, 2))}, {}, 0), "9 centres of 3"),
        (lambda: nf.nearest()({}, {}, 0), "no stream"),
        (lambda: nf.mined_negatives()({"x": np.ones((3, 2)), "y": np.ones((4, 2))}, {}, 0), "3 queries and 4"),
    ],
)
def test_what_makes_no_sense(make, part):
    with pytest.raises(UsageError, match=part) as caught:
        make()
    assert caught.value.remedy


def test_a_vector_that_is_not_finite_is_named():
    x = np.ones((5, 2))
    x[3] = np.nan
    with pytest.raises(DataError) as caught:
        nf.nearest()({"x": x}, {}, 0)
    assert "record 3" in caught.value.where
