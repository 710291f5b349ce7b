"""Alignment and uniformity against loops, known answers, and intervals that cover."""

import math

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.pair_means import projected, projected_ratio
from nearfar.probes.alignment_uniformity import alignment_uniformity


def loops(x, y, alpha, t):
    unit = [[[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in side.tolist()] for side in (x, y)]

    def squared(a, b):
        return sum((v - w) ** 2 for v, w in zip(a, b, strict=True))

    n = len(x)
    aligned = sum(squared(a, b) ** (alpha / 2) for a, b in zip(*unit, strict=True)) / n
    logs = [
        math.log(
            sum(math.exp(-t * squared(side[i], side[j])) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        )
        for side in unit
    ]
    return aligned, sum(logs) / 2


@pytest.mark.parametrize("tile_bytes", [1, 64 << 20])
def test_equals_loops_and_the_objectives(tile_bytes):
    x, y = torch.randn(2, 13, 4, dtype=torch.float64)
    found = alignment_uniformity(x, y, alpha=1.5, t=3, tile_bytes=tile_bytes)
    aligned, uniform = loops(x, y, 1.5, 3)
    assert found.figure("alignment") == pytest.approx(aligned, rel=1e-12)
    assert found.figure("uniformity") == pytest.approx(uniform, rel=1e-12)
    assert float(nf.contrast(nf.alignment(1.5), x, y)) == pytest.approx(aligned)
    # the logarithm stands outside the mean: records' own logarithms are something else
    assert found.columns["potential"].mean() != pytest.approx(uniform, rel=1e-3)
    # and a pair of a record with itself does not count
    assert alignment_uniformity(torch.eye(3)).figure() == pytest.approx(-4.0)
    assert math.log((3 + 6 * math.exp(-4)) / 9) != pytest.approx(-4.0, abs=1)


def test_known_answers():
    simplex = torch.eye(4) - 1 / 4
    assert alignment_uniformity(simplex, simplex).figures() == pytest.approx(
        {"uniformity": -2 * 2 * (1 + 1 / 3), "alignment": 0.0}, abs=1e-5
    )
    collapsed = alignment_uniformity(torch.ones(5, 3), torch.ones(5, 3))
    assert collapsed.figures() == pytest.approx({"uniformity": 0.0, "alignment": 0.0}, abs=1e-6)
    assert not collapsed.is_better_higher("uniformity")
    assert alignment_uniformity(torch.eye(3), t=1e4).figure() == pytest.approx(-2e4)


def test_an_interval_over_records_covers():
    """Of pairs' means: with the projection about 95 of 100, with records' own means far fewer."""
    generator, covered = np.random.default_rng(0), {"projected": 0, "own": 0}
    for _ in range(300):
        x = generator.normal(3.0, 1.0, 40)
        pairs = np.outer(x, x)  # mean over pairs of x_i x_j: 9
        own = (pairs.sum(1) - np.diag(pairs)) / 39
        for name, column in (("projected", projected(own)), ("own", own)):
            covered[name] += abs(column.mean() - 9) < 2.02 * column.std(ddof=1) / math.sqrt(40)
    assert covered["projected"] / 300 > 0.92
    assert covered["own"] / 300 < 0.8


def test_parts_of_a_ratio_are_those_of_a_jackknife():
    a, b = np.random.default_rng(1).random((2, 200, 200))
    a, b = a + a.T, b + b.T

    def ratio(keep):
        off = ~np.eye(len(keep), dtype=bool)
        return a[np.ix_(keep, keep)][off].sum() / b[np.ix_(keep, keep)][off].sum()

    whole = ratio(np.arange(200))
    jackknife = np.array([200 * whole - 199 * ratio(np.delete(np.arange(200), i)) for i in range(200)])
    own = [(m.sum(1) - np.diag(m)) / 199 for m in (a, b)]
    parts = projected_ratio(*own)
    assert parts.mean() == pytest.approx(whole)
    assert parts.std() == pytest.approx(jackknife.std(), rel=0.02)
    assert (own[0] / own[1]).std() < 0.6 * jackknife.std(), "records' own ratios spread half as much"


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "match"),
    [
        (torch.eye(3), torch.eye(4), {}, UsageError, "stand beside"),
        (torch.eye(3), None, {"t": 0}, UsageError, "t = 0"),
        (torch.eye(3), None, {"alpha": -1}, UsageError, "alpha = -1"),
        (torch.zeros(3, 2), None, {}, DataError, "zero"),
        (torch.full((3, 2), torch.nan), None, {}, DataError, "NaN"),
        (torch.ones(1, 2), None, {}, DataError, "needs 2"),
        (torch.ones(4), None, {}, UsageError, "shape"),
        ([["a"]], None, {}, DataError, "not one of numbers"),
    ],
)
def test_errors(x, y, options, error, match):
    with pytest.raises(error, match=match):
        alignment_uniformity(x, y, **options)


def test_any_kind_of_table(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    want = alignment_uniformity(torch.from_numpy(x)).figure()
    for table in (x, x.tolist(), np.load(tmp_path / "x.npy", mmap_mode="r"), torch.from_numpy(x).requires_grad_()):
        assert alignment_uniformity(table).figure() == pytest.approx(want, rel=1e-5)
    assert alignment_uniformity(torch.from_numpy(x).bfloat16()).figure() == pytest.approx(want, rel=0.05)
    assert alignment_uniformity(1e30 * x).figure() == pytest.approx(want, rel=1e-4)
