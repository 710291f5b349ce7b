"""Clusters within classes: as many as the sizes say, of equal size, by nearness, and temperatures of classes in loops."""

import math

import numpy as np
import pytest

import nearfar as nf
from nearfar.columns.class_clusters import _placed
from nearfar.core.errors import UsageError


def classes(counts, d=6, seed=0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(counts)), counts)
    order = rng.permutation(len(label))
    return rng.normal(size=(len(label), d)).astype(np.float32), label[order]


@pytest.mark.parametrize(("size", "expected"), [(1, [13, 4, 1]), (10, [4, 1, 1]), (50, [1, 1, 1])])
def test_sizes_of_classes_say_how_many_clusters(size, expected):
    x, label = classes([41, 13, 3])
    found = nf.class_clusters(size=size)({"x": x}, {"label": label}, 0)
    for k, clusters in enumerate(expected):
        _, counts = np.unique(found[label == k], return_counts=True)
        assert len(counts) == clusters
        assert counts.max() - counts.min() <= 1
    assert sorted(np.unique(found)) == list(range(sum(expected)))


def test_separate_heaps_are_found_and_unknown_labels_left_out():
    rng = np.random.default_rng(0)
    heap = np.repeat(np.arange(3), 10)
    x = (np.eye(3, 5)[heap] + 0.05 * rng.normal(size=(30, 5))).astype(np.float32)
    label = np.zeros(30, dtype=np.int64)
    label[[4, 14, 24]] = -1
    x, label = np.concatenate([x, x[:2]]), np.concatenate([label, [1, 1]])  # a small class
    heap = np.concatenate([heap, [3, 3]])
    found = nf.class_clusters(size=9)({"x": x}, {"label": label}, 0)
    known = label >= 0
    assert ((found[known, None] == found[None, known]) == (heap[known, None] == heap[None, known])).all()
    assert (found[~known] == -1).all()
    assert (nf.class_clusters(size=9)({"x": x}, {"label": label}, 0) == found).all()
    unlimited = nf.clusters(k=3)({"x": x[:25]}, {}, 0)
    assert np.ptp(np.bincount(unlimited)) > 1, "known bad: clusters of any size"


def test_placing_is_greedy_over_all_pairs():
    rng = np.random.default_rng(1)
    for capacity in (1, 2, 3, 9):
        scores = rng.normal(size=(12, 4))
        expected, room = np.full(12, -1), [capacity] * 4
        for pair in np.argsort(-scores, axis=None):
            record, centre = divmod(int(pair), 4)
            if expected[record] < 0 and room[centre]:
                expected[record], room[centre] = centre, room[centre] - 1
        assert (_placed(scores, capacity) == expected).all()
        assert capacity == 9 or (scores.argmax(1) != expected).any()


def test_temperatures_in_loops():
    x, label = classes([30, 20, 12, 5], seed=3)
    label[0] = -1
    subclass = np.where(label == 3, 9, np.arange(len(label)) % 2 + 2 * label)
    found = nf.class_temperatures(temperature=0.2)({"x": x}, {"label": label, "subclass": subclass}, 0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    spread = []
    for k in range(4):
        mine = [unit[i] for i in range(len(label)) if label[i] == k]
        mean = sum(mine) / len(mine)
        spread.append(sum(float(np.linalg.norm(z - mean)) for z in mine) / len(mine) / math.log(len(mine) + 10))
    low, high = np.percentile(spread, 10), np.percentile(spread, 90)
    clipped = [min(max(s, low), high) for s in spread]
    for i, k in enumerate(label):
        whole = k in (-1, 3)
        expected = 0.2 if whole else 0.2 * clipped[k] * 4 / sum(clipped)
        assert found[i] == pytest.approx(expected, abs=1e-6)
        assert whole or found[i] != pytest.approx(0.2 * spread[k] * 4 / sum(spread), abs=1e-4), "unclipped"


def test_equal_vectors_have_the_plain_temperature():
    columns = {"label": np.array([0, 0, 1, 1]), "subclass": np.arange(4)}
    found = nf.class_temperatures()({"x": np.ones((4, 2))}, columns, 0)
    assert found.tolist() == [pytest.approx(0.1)] * 4


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: nf.class_clusters(size=0), "0 records"),
        (lambda: nf.class_clusters(iterations=0), "0 iterations"),
        (lambda: nf.class_temperatures(temperature=0.0), "temperature of 0"),
        (lambda: nf.class_clusters()({"x": np.ones((3, 2))}, {}, 0), "no column 'label'"),
        (lambda: nf.class_temperatures()({"x": np.ones((2, 2))}, {"label": np.zeros(2)}, 0), "no column 'subclass'"),
        (lambda: nf.class_clusters(stream="y")({"x": np.ones((2, 2))}, {"label": np.zeros(2)}, 0), "no stream"),
    ],
)
def test_what_makes_no_sense(make, part):
    with pytest.raises(UsageError, match=part) as caught:
        make()
    assert caught.value.remedy
