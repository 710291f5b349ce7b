"""Hubs against loops, known shapes, and scipy's skewness."""

import numpy as np
import pytest
import torch
from scipy.stats import skew

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.hubness import hubness
from nearfar.probes.shared.tensors import other_neighbours


def occurrences(x, k, queries=None):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    asked = unit if queries is None else queries / np.linalg.norm(queries, axis=1, keepdims=True)
    counts = [0] * len(x)
    for i, query in enumerate(asked):
        others = [(-float(query @ key), j) for j, key in enumerate(unit) if queries is not None or j != i]
        for _, j in sorted(others)[:k]:
            counts[j] += 1
    return counts


def test_equals_loops():
    x, queries = (np.random.default_rng(s).normal(size=(n, 30)) for s, n in ((0, 60), (1, 25)))
    found = hubness(x, k=4)
    assert found.columns["occurrence"].tolist() == occurrences(x, 4)
    assert found.columns["occurrence"].tolist() != occurrences(x, 4, x), "a record is no neighbour of itself"
    counts = np.array(occurrences(x, 4))
    assert found.figure("skewness") == pytest.approx(skew(counts))
    assert found.figure("skewness") != pytest.approx(skew(counts, bias=False), rel=1e-4)
    assert found.figure("robin_hood") == pytest.approx(sum(abs(c - 4) for c in counts) / (2 * counts.sum()))
    assert found.figure("anti_hubs") == np.mean(counts == 0)
    assert hubness(x, queries, k=3).columns["occurrence"].tolist() == occurrences(x, 3, queries)


def test_a_circle_has_no_hubs_and_many_dimensions_have():
    angle = torch.arange(40) * (2 * torch.pi / 40)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    assert hubness(circle, k=2).figures() == {"skewness": 0.0, "robin_hood": 0.0, "anti_hubs": 0.0}
    low, high = (hubness(torch.randn(400, d) + 0.5, k=5) for d in (3, 100))
    for figure in ("skewness", "robin_hood", "anti_hubs"):
        assert high.figure(figure) > low.figure(figure) + 0.05


def test_among_equal_vectors_the_record_itself_is_left_out():
    found = other_neighbours(torch.ones(9, 2), 3)
    assert all(i not in row and len(set(row)) == 3 for i, row in enumerate(found.tolist()))


def test_errors():
    for options in ({"k": 0}, {"k": 3}):
        with pytest.raises(UsageError, match="where 1 to 2 are possible"):
            hubness(torch.eye(3), **options)
    with pytest.raises(UsageError, match="dimensions"):
        hubness(torch.eye(3), torch.eye(2), k=1)
    with pytest.raises(DataError, match="NaN"):
        hubness(torch.eye(3), torch.full((2, 3), torch.nan), k=1)
