"""Neighbours by several hops equal a walk in loops, and reach what is of the same kind where one long step does not."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import UsageError


def walk(x, k, hops, *, own=False):
    """A set a record, by following each neighbour in turn."""
    cosine = x.astype(np.float64) @ x.T
    near = []
    for i, row in enumerate(cosine):
        others = sorted((j for j in range(len(x)) if j != i), key=lambda j: (-np.float32(row[j]), j))
        near.append(others[:k])
    found = []
    for i in range(len(x)):
        reached, edge = set(), [i]
        for _ in range(hops):
            edge = [j for e in edge for j in near[e]]
            reached |= set(edge)
        found.append(reached if own else reached - {i})
    return found


def test_equals_a_walk():
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1)[:, None]
    for k, hops in ((1, 3), (3, 1), (3, 2), (4, 3)):
        made = nf.propagated(k=k, hops=hops)({"x": x}, {}, 0)
        assert made.shape == (40, sum(k**h for h in range(1, hops + 1)))
        listed = [row[row >= 0].tolist() for row in made]
        assert all(len(set(row)) == len(row) for row in listed)
        assert [set(row) for row in listed] == walk(x, k, hops)
        assert all((np.diff((row < 0).astype(int)) >= 0).all() for row in made)  # -1 at the end
    assert [set(row[row >= 0].tolist()) for row in made] != walk(
        x, 4, 3, own=True
    )  # known bad: a record is its own neighbour


def test_short_steps_stay_on_the_road():
    angle = np.concatenate([np.linspace(0, 2.4, 25), np.linspace(2.9, 3.2, 25)])  # two roads with a gap between them
    x = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    steps = nf.propagated(k=2, hops=6)({"x": x}, {}, 0)[24]
    reached = steps[steps >= 0]
    assert len(reached) >= 5
    assert (reached < 25).all()
    assert (nf.nearest(k=30)({"x": x}, {}, 0)[24] >= 25).any()  # one long step crosses


def test_what_makes_no_sense_is_refused():
    for wrong in ({"k": 0}, {"hops": 0}, {"k": 30, "hops": 9}):
        with pytest.raises(UsageError):
            nf.propagated(**wrong)
    two = np.eye(2, dtype=np.float32)
    assert nf.propagated(k=3, hops=2)({"x": two}, {}, 0)[:, 0].tolist() == [1, 0]
    with pytest.raises(UsageError):
        nf.propagated(stream="z")({"x": two}, {}, 0)
