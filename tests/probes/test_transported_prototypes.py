"""Transported prototypes in loops, and what transport can do and cannot: a biased record is put right, uneven queries mislead it."""

import math

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.maths.similarity import unit
from nearfar.probes.few_shot import few_shot
from nearfar.probes.transported_prototypes import soft_k_means, transported, transported_prototypes

NUMBERS = np.random.default_rng(0)


def heaps(spread=1.3, n=240, k=6, d=8):
    label = np.arange(n) % k
    return np.eye(k, d)[label] + spread * NUMBERS.normal(size=(n, d)) / math.sqrt(d), label


def by_hand(prototypes, asked, passes, epsilon, *, nearest=False):
    """Transport one number at a time; `nearest`: the mistake of shares that every query gives to one class alone."""
    prototypes, asked = [p.tolist() for p in prototypes], [q.tolist() for q in asked]
    for _ in range(passes):
        cost = [[sum((a - b) ** 2 for a, b in zip(q, p, strict=True)) for p in prototypes] for q in asked]
        top = max(map(max, cost))
        plan = [[math.exp(-c / top / epsilon) for c in row] for row in cost]
        for _ in range(10):
            used = [sum(row[c] for row in plan) for c in range(len(prototypes))]
            plan = [[v / used[c] for c, v in enumerate(row)] for row in plan]
            plan = [[v / sum(row) for v in row] for row in plan]
        if nearest:
            plan = [[float(v == max(row)) for v in row] for row in plan]
        prototypes = [
            [
                sum(row[c] * q[i] for row, q in zip(plan, asked, strict=True)) / sum(row[c] for row in plan)
                for i in range(len(p))
            ]
            for c, p in enumerate(prototypes)
        ]
    return torch.tensor(prototypes)


def test_transport_equals_loops():
    asked = unit(torch.from_numpy(NUMBERS.normal(size=(12, 4))))
    start = unit(torch.from_numpy(NUMBERS.normal(size=(3, 4))))
    made = transported(start, asked, 3, 0.1)
    assert (made - by_hand(start, asked, 3, 0.1)).abs().max() < 1e-5
    assert (made - by_hand(start, asked, 3, 0.1, nearest=True)).abs().max() > 1e-2


def test_soft_k_means_equals_loops():
    asked = unit(torch.from_numpy(NUMBERS.normal(size=(5, 3))))
    start = unit(torch.from_numpy(NUMBERS.normal(size=(2, 3))))
    likely = [[math.exp(float(q @ p) / 0.1) for p in start] for q in asked]
    likely = [[v / sum(row) for v in row] for row in likely]
    expected = [
        (2 * p + sum(row[c] * q for row, q in zip(likely, asked, strict=True))) / (2 + sum(row[c] for row in likely))
        for c, p in enumerate(start)
    ]
    assert torch.allclose(soft_k_means(start, asked, 2, 1), torch.stack(expected))


def test_it_helps_where_one_record_is_little_and_queries_are_even():
    x, label = heaps()
    found = transported_prototypes(x, label, ways=4, episodes=60).figures()
    assert found["transported_accuracy"] > found["prototype_accuracy"] + 0.03
    assert found["uneven_accuracy"] < found["transported_accuracy"] - 0.03  # shares that are not so
    plain = few_shot(x, label, ways=4, shots=1, episodes=60).columns["prototype_accuracy"]
    same = transported_prototypes(x, label, ways=4, episodes=60).columns["prototype_accuracy"]
    assert same == pytest.approx(plain)  # the same episodes


def test_what_makes_no_sense_is_refused():
    x, label = heaps()
    for wrong in ({"ways": 1}, {"passes": 0}, {"fewest": 16}, {"epsilon": 0.0}):
        with pytest.raises(UsageError):
            transported_prototypes(x, label, **wrong)
    with pytest.raises(DataError, match="0 of 6 classes"):
        transported_prototypes(x, label, queries=60)
