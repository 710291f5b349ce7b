"""Online centroids: when they begin, with which vectors, how they move, and which of them each key gets - against loops."""

import math

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError

DRAWS = torch.Generator().manual_seed(0)
FIRST, SECOND = (torch.randn(12, 5, generator=DRAWS, dtype=torch.float64) for _ in range(2))


def unit(row):
    length = math.sqrt(sum(v * v for v in row))
    return [v / length for v in row]


def cosine(a, b):
    return sum(u * v for u, v in zip(unit(a), unit(b), strict=True))


def begun(k=4, momentum=0.3):
    memory = nf.online_centroids(k=k, momentum=momentum, start=1.0)
    memory.update(nf.rows(FIRST))
    return memory


def test_each_first_centroid_is_the_vector_least_like_the_one_before():
    found = begun().rows().vectors.tolist()
    places = [next(i for i, row in enumerate(FIRST.tolist()) if cosine(row, c) > 1 - 1e-9) for c in found]
    expected, nearest = places[:1], places[:1]
    for _ in range(3):
        rest = [i for i in range(12) if i not in expected]
        expected.append(min(rest, key=lambda i: cosine(FIRST[i].tolist(), FIRST[expected[-1]].tolist())))
        rest = [i for i in range(12) if i not in nearest]
        nearest.append(max(rest, key=lambda i: cosine(FIRST[i].tolist(), FIRST[nearest[-1]].tolist())))
    assert places == expected
    assert places != nearest  # known bad: the most like
    other = nf.online_centroids(k=4, start=1.0, seed=2)
    other.update(nf.rows(FIRST))
    assert not torch.equal(other.rows().vectors, begun().rows().vectors)


def moved(centroids, *, mean):
    groups = {k: [] for k in range(len(centroids))}
    for row in SECOND.tolist():
        groups[max(groups, key=lambda k: cosine(row, centroids[k]))].append(unit(row))
    made = []
    for k, centre in enumerate(centroids):
        share = 1 / max(1, len(groups[k])) if mean else 1.0
        total = [share * sum(row[d] for row in groups[k]) for d in range(5)]
        made.append([0.7 * c + 0.3 * t for c, t in zip(centre, total, strict=True)])
    return torch.tensor(made, dtype=torch.float64)


def test_centroids_move_towards_the_sum_of_their_members():
    memory = begun()
    before = memory.rows().vectors.tolist()
    memory.update(nf.rows(SECOND))
    assert torch.allclose(memory.rows().vectors, moved(before, mean=False), atol=1e-12)
    assert not torch.allclose(memory.rows().vectors, moved(before, mean=True), atol=1e-2)  # known bad


def test_every_key_brings_the_centroid_second_nearest_to_it():
    memory = begun()
    centres, keys = memory.rows().vectors.tolist(), nf.rows(SECOND, label=list(range(12)))
    made = memory(keys, keys)
    orders = [sorted(range(4), key=lambda k: -cosine(row, centres[k])) for row in SECOND.tolist()]
    assert made.vectors[12:].tolist() == [centres[order[1]] for order in orders]
    assert made.vectors[12:].tolist() != [centres[order[0]] for order in orders]  # known bad: its own cluster
    assert memory.cluster(SECOND).tolist() == [order[0] for order in orders]
    assert made.columns["record"].tolist() == [*range(12), *[-1] * 12]
    assert made.columns["label"].tolist() == [*range(12), *[-1] * 12]


def test_they_begin_when_the_mean_cosine_of_a_batch_is_low_enough():
    level = sum(cosine(a, b) for a in FIRST.tolist() for b in FIRST.tolist()) / 144
    for start, has_begun in ((level + 1e-9, True), (level - 1e-9, False)):
        memory = nf.online_centroids(k=4, start=start)
        memory.update(nf.rows(FIRST))
        assert (memory.rows() is not None) == has_begun
    assert memory.cluster(SECOND) is None
    assert int(memory.step) == 1
    assert len(memory(nf.rows(SECOND), nf.rows(SECOND))) == 12


def test_what_makes_no_sense_is_refused():
    for options in ({"k": 1}, {"momentum": 1.5}, {"momentum": -0.1}):
        with pytest.raises(UsageError, match="online_centroids"):
            nf.online_centroids(**options)
    with pytest.raises(UsageError, match="20 centroids from a batch of 12"):
        nf.online_centroids(k=20, start=1.0).update(nf.rows(FIRST))
    with pytest.raises(UsageError, match="token matrices"):
        begun().update(nf.rows(torch.ones(12, 3, 5)))
