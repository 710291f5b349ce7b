"""Intervals cover and tests hold their level, by simulation with fixed seeds; the same checks catch wrong ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes import statistics
from nearfar.probes.statistics import Interval, bootstrap, paired, sign_flip_p

RUNS = 400
# 400 runs of a true 95 % interval: standard error 1.1 points; the percentile method loses about a point at 80 values
COVERAGE = (0.91, 0.975)


Draw = Callable[[np.random.Generator], np.ndarray]


def coverage(interval: Callable[[np.ndarray, int], Interval], draw: Draw, truth: float) -> float:
    random = np.random.default_rng(7)
    inside = 0
    for run in range(RUNS):
        found = interval(draw(random), run)
        inside += found.low <= truth <= found.high
    return inside / RUNS


def reciprocal_ranks(random: np.random.Generator) -> np.ndarray:
    return 1 / random.integers(1, 11, size=80)


MEAN_RECIPROCAL = sum(1 / r for r in range(1, 11)) / 10


def test_bootstrap_covers():
    found = coverage(lambda x, seed: bootstrap(x, n=400, seed=seed), reciprocal_ranks, MEAN_RECIPROCAL)
    assert COVERAGE[0] <= found <= COVERAGE[1]


def test_an_interval_that_is_too_narrow_is_caught():
    def halved(x: np.ndarray, seed: int) -> Interval:
        mean, low, high = bootstrap(x, n=400, seed=seed)
        return Interval(mean, (mean + low) / 2, (mean + high) / 2)

    assert coverage(halved, reciprocal_ranks, MEAN_RECIPROCAL) < COVERAGE[0]


def two_systems(random: np.random.Generator) -> np.ndarray:
    difficulty = random.random(80)  # shared by both systems, much larger than what sets them apart
    return np.stack([difficulty + random.normal(0.05, 0.1, 80), difficulty + random.normal(0, 0.1, 80)])


def test_paired_difference_covers_and_an_unpaired_one_is_caught():
    found = coverage(lambda ab, seed: paired(*ab, n=400, seed=seed).difference, two_systems, 0.05)
    assert COVERAGE[0] <= found <= COVERAGE[1]

    def unpaired(ab: np.ndarray, seed: int) -> Interval:
        a, b = bootstrap(ab[0], n=400, seed=seed), bootstrap(ab[1], n=400, seed=seed + 1)
        half = np.hypot(a.high - a.low, b.high - b.low) / 2
        return Interval(a.mean - b.mean, a.mean - b.mean - half, a.mean - b.mean + half)

    assert coverage(unpaired, two_systems, 0.05) > COVERAGE[1]  # three times too wide


def test_relative_difference_covers():
    def draw(random: np.random.Generator) -> np.ndarray:
        return np.stack([random.normal(1.2, 0.2, 80), random.normal(1, 0.2, 80)])

    def interval(ab: np.ndarray, seed: int) -> Interval:
        found = paired(*ab, n=400, seed=seed).relative
        assert found is not None
        return found

    assert COVERAGE[0] <= coverage(interval, draw, 0.2) <= COVERAGE[1]


def rejections(draw: Draw) -> float:
    random = np.random.default_rng(11)
    return float(np.mean([sign_flip_p(draw(random), n=199, seed=run) <= 0.05 for run in range(600)]))


def test_permutation_test_holds_its_level_and_pseudo_replication_is_caught():
    level = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert 0.02 < rejections(lambda random: random.normal(size=30)) < level
    assert rejections(lambda random: np.repeat(random.normal(size=10), 3)) > level  # each query counted three times
    assert rejections(lambda random: random.normal(0.6, 1, size=30)) > 0.8  # and it has power


def test_sign_flips_equal_the_full_enumeration():
    differences = np.array([0.5, -0.1, 0.3, 0.2, 0.4, -0.2, 0.0])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    assert sign_flip_p(differences, n=20_000) == pytest.approx(exact, abs=0.01)
    assert abs((signs @ differences >= differences.sum() - 1e-12).mean() - exact) > 0.03  # one-sided would be wrong
    assert sign_flip_p(np.zeros(5), n=99) == 1
    assert sign_flip_p(np.ones(64), n=99) == 1 / 100  # never zero


def test_strips_do_not_change_the_result_and_seeds_do(monkeypatch: pytest.MonkeyPatch):
    a, b = np.random.default_rng(0).random((2, 50))
    whole = bootstrap(a, n=300), paired(a, b, n=300)
    monkeypatch.setattr(statistics, "WORKING_BYTES", 16 * 50 * 7)
    assert (bootstrap(a, n=300), paired(a, b, n=300)) == whole
    assert bootstrap(a, n=300, seed=1) != whole[0]


def test_sentences():
    random = np.random.default_rng(0)
    rival = random.random(500)
    better = paired(rival + 0.05 + random.normal(0, 0.1, 500), rival)
    assert better.verdict == "better"
    assert better.sentence("ours", "BM25").startswith("ours is better than BM25 (+0.0")
    assert "p < 0.0001 over 500 queries" in better.sentence("ours", "BM25")
    worse = paired(rival, rival + 0.05 + random.normal(0, 0.1, 500))
    assert worse.sentence("ours", "BM25").startswith("ours is worse than BM25 (-0.0")
    unclear = paired(rival, rival + random.normal(0, 0.1, 500))
    assert unclear.verdict == "unclear"
    assert unclear.sentence("ours", "BM25").startswith("No sure difference")
    assert better.effect == pytest.approx(0.5, abs=0.15)


def test_equal_systems_and_a_rival_at_zero():
    same = paired([0.2, 0.4, 0.6], [0.2, 0.4, 0.6])
    assert (same.verdict, same.p_value, same.effect) == ("unclear", 1, 0)
    assert same.difference == Interval(0, 0, 0)
    against_zero = paired([0.2, 0.4, 0.6] * 20, [0.0] * 60)
    assert against_zero.relative is None
    assert "relative" not in against_zero.sentence("a", "b")


def test_errors():
    with pytest.raises(DataError, match="at least two values"):
        bootstrap([0.5])
    with pytest.raises(DataError, match="value 1 is nan"):
        bootstrap([0.5, float("nan")])
    with pytest.raises(UsageError, match="a has 2 values and b has 3"):
        paired([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="confidence"):
        bootstrap([1, 2], confidence=95)
