"""Intervals cover and tests hold their level, by simulation with fixed seeds; the same checks catch wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.maths import bootstrap_interval
from nearfar.maths.bootstrap_interval import t_quantile
from nearfar.probes.matched import Exchangeable
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import Interval, bootstrap, compare_outcomes, interval, paired, sign_flip_p

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
    monkeypatch.setattr(bootstrap_interval, "WORKING_BYTES", 16 * 50 * 7)
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


def test_small_samples_need_more_than_percentiles():
    def draw(random: np.random.Generator) -> np.ndarray:
        return 1 / random.integers(1, 11, size=10)

    def percentile(x: np.ndarray, seed: int) -> Interval:
        means = x[np.random.default_rng(seed).integers(0, 10, (400, 10))].mean(1)
        return Interval(x.mean(), *np.quantile(means, [0.025, 0.975]))

    ours = coverage(lambda x, seed: bootstrap(x, n=400, seed=seed), draw, MEAN_RECIPROCAL)
    assert ours > 0.86
    assert coverage(percentile, draw, MEAN_RECIPROCAL) < 0.83


def test_intervals_agree_with_scipy():
    from scipy import stats

    x = np.random.default_rng(1).exponential(size=300)
    low, high = stats.bootstrap((x,), np.mean, n_resamples=10_000, method="BCa", rng=1).confidence_interval
    found = bootstrap(x)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    plain = stats.bootstrap((x,), np.mean, n_resamples=10_000, method="basic", rng=1).confidence_interval
    assert (found.low, found.high) != pytest.approx(tuple(plain), abs=0.006)
    for freedom in (4, 9, 30):
        assert t_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.003)
        assert t_quantile(0.975, freedom) != pytest.approx(stats.norm.ppf(0.975), rel=0.003)


def test_few_differences_are_enumerated_exactly():
    from scipy import stats

    random = np.random.default_rng(2)
    for n in (3, 7, 11):
        x = random.normal(0.3, 1, n)
        expected = stats.permutation_test((x,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
        assert sign_flip_p(x) == pytest.approx(expected, abs=1e-12)
    assert sign_flip_p(np.full(20, 0.1)) == 2.0**-19
    five = paired(np.arange(5) / 10 + 0.5, np.arange(5) / 10)
    assert five.p_value == five.smallest_p == 0.0625
    assert (five.too_few, five.verdict) == (True, "unclear")
    assert "with 5 seeds no p value is below 0.062, take ten or more" in five.sentence("a", "b", unit="seeds")
    ten = paired(np.arange(10) / 10 + 0.5, np.arange(10) / 10)
    assert (ten.too_few, ten.verdict) == (False, "better")
    assert "take ten" not in ten.sentence("a", "b", unit="seeds")


# Metrics that are no means


def average_ranks(x):
    order = np.sort(x)
    return (np.searchsorted(order, x, "left") + np.searchsorted(order, x, "right")) / 2


def spearman(x, y):
    a, b = average_ranks(x), average_ranks(y)
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def rank_correlation(columns):
    return spearman(columns["rank"], columns["gold"])


def average_precision(columns):
    order = np.argsort(columns["rank"], kind="stable")
    right = columns["gold"][order]
    if not right.any():
        raise DataError("one class only")
    return float((np.cumsum(right) / np.arange(1, len(right) + 1))[right > 0].mean())


def correlated(random: np.random.Generator, noise: float = 0.7, n: int = 40, gold: Any = None) -> Outcome:
    gold = random.normal(size=n) if gold is None else gold
    rank = average_ranks(gold + random.normal(size=n) * noise)
    return Outcome(
        "sts",
        "spearman",
        "pairs",
        {"rank": rank, "gold": gold},
        metrics={"spearman": rank_correlation},
        swapped=("rank",),
    )


def precise(random: np.random.Generator, n: int = 40) -> Outcome:
    gold = (random.random(n) < 0.4).astype(float)
    rank = average_ranks(-(gold + random.normal(size=n) * 0.8))
    return Outcome("pc", "ap", "pairs", {"rank": rank, "gold": gold}, metrics={"ap": average_precision})


@pytest.mark.parametrize("make", [correlated, precise])
def test_intervals_of_other_metrics_cover(make):
    random = np.random.default_rng(5)
    truth = np.mean([make(random, n=20_000).figure() for _ in range(20)])
    drawn = [make(random) for _ in range(100)]
    found = [interval(one, n=120, seed=seed) for seed, one in enumerate(drawn)]
    inside = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.89 <= inside <= 0.99  # 100 runs: standard error 2.2 points

    def without_replacement(
        one: Outcome, seed: int
    ) -> Interval:  # halves, which vary less than resamples of full size do
        rng = np.random.default_rng(seed)
        values = [one.figure(rows=rng.permutation(len(one))[: len(one) * 9 // 10]) for _ in range(60)]
        return Interval(one.figure(), *np.quantile(values, [0.025, 0.975]))

    wrong = [without_replacement(one, seed) for seed, one in enumerate(drawn)]
    assert np.mean([one.low <= truth <= one.high for one in wrong]) < 0.89


def test_exchange_test_holds_its_level_and_flipping_something_else_is_caught():
    random = np.random.default_rng(6)
    exchanged, naive = [], []
    for run in range(120):
        gold = random.normal(size=25)
        shared = random.normal(size=25)  # what makes a pair hard is the same for both systems
        a, b = (correlated(random, 0.3, 25, gold + shared * 0.5) for _ in range(2))
        a, b = (replace(one, columns={**one.columns, "gold": gold}) for one in (a, b))
        rows = np.arange(25)
        exchanged.append(Exchangeable(a, b, rows, rows, "spearman").p_value(39, run))
        # unpaired: labels of the systems shuffled over all values, as if they had been measured on different pairs
        pooled, both = np.concatenate([a.columns["rank"], b.columns["rank"]]), np.concatenate([gold, gold])
        observed = abs(a.figure() - b.figure())
        count = 0
        for _ in range(39):
            order = random.permutation(50)
            one, other = order[:25], order[25:]
            count += abs(spearman(pooled[one], both[one]) - spearman(pooled[other], both[other])) >= observed
        naive.append((1 + count) / 40)
    level = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)
    assert 0.01 < np.mean(np.array(exchanged) <= 0.05) < level
    assert np.mean(np.array(naive) <= 0.05) < 0.01  # blind: it takes the pairs' difficulty for noise


def test_exchange_test_equals_the_full_enumeration_and_has_power():
    random = np.random.default_rng(3)
    gold = random.normal(size=9)
    a, b = correlated(random, 0.3, 9, gold), correlated(random, 1.5, 9, gold)
    values = []
    for pattern in range(2**9):
        those = np.array([pattern >> i & 1 for i in range(9)], dtype=bool)
        x = np.where(those, b.columns["rank"], a.columns["rank"])
        y = np.where(those, a.columns["rank"], b.columns["rank"])
        values.append(spearman(x, gold) - spearman(y, gold))
    exact = np.mean(np.abs(values) >= abs(values[0]) - 1e-12)
    found = compare_outcomes(a, b)
    assert found.p_value == pytest.approx(exact, abs=1e-12)
    assert np.mean(np.array(values) >= values[0] - 1e-12) != pytest.approx(exact, abs=1e-3)  # one-sided would be wrong
    assert found.difference.mean == pytest.approx(values[0])
    assert (found.effect, found.relative) == (None, None)
    gold = random.normal(size=80)
    clear = compare_outcomes(correlated(random, 0.3, 80, gold), correlated(random, 1.5, 80, gold), n=300)
    assert clear.verdict == "better"
    assert clear.p_value == 1 / 301


def means_of(*values: float, names: Sequence[str] = (), **more: Any) -> Outcome:
    return Outcome("p", "m", "records", {"m": np.array(values)}, means=("m",), names=names, **more)


def test_an_outcome_that_is_a_mean_is_the_plain_comparison():
    a, b = np.random.default_rng(0).random((2, 30))
    one, other = means_of(*a), means_of(*b)
    assert interval(one, n=300, seed=3) == bootstrap(a, 300, seed=3) != bootstrap(a, 300, seed=4)
    found, plain = compare_outcomes(one, other, n=300, seed=3), paired(a, b, 300, seed=3)
    assert (found.difference, found.relative, found.p_value) == (plain.difference, plain.relative, plain.p_value)
    assert found.units == "records"


def test_less_is_better():
    a, b = np.zeros(20), np.linspace(0.5, 1, 20)
    found = compare_outcomes(means_of(*a, higher={"m": False}), means_of(*b, higher={"m": False}))
    assert found.verdict == "better"
    assert found.sentence("A", "B", metric="m").startswith("A is better than B in m (where less is better) (-0.750")
    assert compare_outcomes(means_of(*a), means_of(*b)).verdict == "worse"


def test_units_are_matched_by_name():
    a = means_of(0.1, 0.5, 0.9, 0.4, names=["x", "y", "z", "y"])
    b = means_of(0.4, 0.0, 0.5, 0.2, 0.1, names=["y", "w", "y", "x", "v"])
    found = compare_outcomes(a, b)
    assert found.difference.mean == pytest.approx(np.mean([0.1 - 0.2, 0.5 - 0.4, 0.4 - 0.5]))
    assert found.difference.mean != pytest.approx(np.mean(np.array([0.1, 0.5, 0.9]) - [0.4, 0.0, 0.5]))  # by position
    assert (found.n, found.only_a, found.only_b) == (3, ("z",), ("w", "v"))


def test_a_metric_without_a_test_is_decided_by_its_interval():
    random = np.random.default_rng(3)
    gold = random.normal(size=80)
    a, b = (replace(correlated(random, noise, 80, gold), swapped=()) for noise in (0.2, 2.0))
    found = compare_outcomes(a, b, n=300)
    assert (found.p_value, found.verdict, found.too_few) == (None, "better", False)
    assert "no test exists" in found.sentence("a", "b")
    assert compare_outcomes(a, a, n=300).verdict == "unclear"


def test_resamples_without_a_class_are_left_out_unless_they_are_most():
    gold = np.zeros(30)
    gold[:2] = 1

    def rare(count: int) -> Outcome:
        some = np.where(np.arange(30) < count, 1.0, 0.0)
        columns = {"rank": np.arange(30.0)[::-1], "gold": some}
        return Outcome("pc", "ap", "pairs", columns, metrics={"ap": average_precision})

    found = interval(rare(3), n=300)
    assert 0 < found.low < found.mean < found.high <= 1
    outcome = Outcome(
        "p", "m", "pairs", {"x": np.arange(9)}, metrics={"m": lambda c: 1.0 if len(set(c["x"])) > 8 else np.nan}
    )
    with pytest.raises(DataError, match="most resamples"):
        interval(outcome, n=300)


def test_outcomes_that_cannot_be_compared():
    plain = means_of(0.1, 0.2)
    for other, message in (
        (means_of(0.1, 0.2, facts={"fingerprint": "b"}), "different data"),
        (Outcome("q", "m", "records", {"m": np.ones(2)}, means=("m",)), "probe 'p'"),
        (Outcome("p", "m", "queries", {"m": np.ones(2)}, means=("m",)), "units 'records'"),
        (means_of(0.1, 0.2, 0.3), "cannot be matched"),
        (means_of(0.1, 0.2, names=["a", "b"]), "cannot be matched"),
        (means_of(0.1, 0.2, higher={"m": False}), "different things"),
    ):
        with pytest.raises(DataError, match=message):
            compare_outcomes(replace(plain, facts={"fingerprint": "a"}), other)
    with pytest.raises(DataError, match="0 are the same"):
        compare_outcomes(means_of(1, 2, names=["a", "b"]), means_of(1, 2, names=["c", "d"]))
    with pytest.raises(UsageError, match="no metric 'k'"):
        compare_outcomes(plain, plain, "k")
    with pytest.raises(DataError, match="gold is not the same"):
        random = np.random.default_rng(0)
        compare_outcomes(correlated(random), correlated(random))
    assert compare_outcomes(plain, means_of(0.1, 0.2, facts={"fingerprint": "b"})).verdict == "unclear"
