"""Several runs a side: intervals cover over both levels, the test holds its level, one level alone is caught."""

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.compare_runs import compare_runs
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import paired

QUERIES = 60


def outcome(values, **more):
    return Outcome("retrieval", "mrr", "queries", {"mrr": np.asarray(values)}, means=("mrr",), **more)


def runs(random, by_run, by_query, noise, count=10):
    """Runs of b, and of a that are no better on the whole: seeds and queries differ."""
    differences = (
        random.normal(0, by_query, QUERIES)
        + random.normal(0, by_run, (count, 1))
        + random.normal(0, noise, (count, QUERIES))
    )
    base = random.random((count, QUERIES))
    return base + differences, base


@pytest.mark.parametrize(("spread", "count"), [((0.05, 0.0, 0.1), 5), ((0.05, 0.3, 0.1), 10), ((0.005, 0.3, 0.1), 10)])
def test_intervals_cover_both_levels(spread, count):
    random = np.random.default_rng(1)
    inside = queries_alone = runs_alone = 0
    for seed in range(100):
        a, b = runs(random, *spread, count=count)
        found = compare_runs([outcome(x) for x in a], [outcome(x) for x in b], n=200, seed=seed).difference
        inside += found.low <= 0 <= found.high
        one = paired(a.mean(0), b.mean(0), n=200, seed=seed).difference
        queries_alone += one.low <= 0 <= one.high
        other = paired(a.mean(1), b.mean(1), n=200, seed=seed).difference
        runs_alone += other.low <= 0 <= other.high
    assert 0.88 <= inside / 100 <= 1
    assert min(queries_alone, runs_alone) / 100 < 0.85  # each forgets what the other knows


def test_the_test_holds_its_level_over_seeds_where_queries_as_units_do_not():
    random = np.random.default_rng(2)
    over_runs, over_queries = 0, 0
    for seed in range(150):
        a, b = runs(random, 0.1, 0.0, 0.1)
        over_runs += compare_runs([outcome(x) for x in a], [outcome(x) for x in b], n=20, seed=seed).p_value <= 0.05
        over_queries += paired(a[0], b[0], n=99, seed=seed).p_value <= 0.05
    assert 0.01 < over_runs / 150 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert over_queries / 150 > 0.5  # one seed each: surely different, but not because of the settings


def test_runs_are_the_units_and_five_are_too_few():
    random = np.random.default_rng(3)
    a, b = runs(random, 0.01, 0.01, 0.02, count=10)
    found = compare_runs([outcome(x + 0.1) for x in a], [outcome(x) for x in b])
    assert (found.verdict, found.n, found.units, found.too_few) == ("better", 10, "runs", False)
    assert found.p_value == 2 / 2**10
    few = compare_runs([outcome(x + 0.1) for x in a[:5]], [outcome(x) for x in b[:5]])
    assert (few.verdict, few.too_few) == ("unclear", True)
    assert "with 5 runs no p value is below 0.062" in few.sentence("A", "B")
    assert few.difference.low > 0


def test_units_are_matched_and_strips_do_not_matter():
    random = np.random.default_rng(4)
    a, b = runs(random, 0.05, 0.1, 0.1, count=3)
    names = [f"q{i}" for i in range(QUERIES)]
    straight = compare_runs([outcome(x, names=names) for x in a], [outcome(x, names=names) for x in b])
    turned = [outcome(x[::-1], names=names[::-1]) for x in b]
    assert compare_runs([outcome(x, names=names) for x in a], turned) == straight
    unnamed = compare_runs([outcome(x) for x in a], [outcome(x[::-1]) for x in b])
    assert unnamed.difference.low != straight.difference.low  # what matching by position would give


def spread_of(columns):
    return float(np.ptp(columns["x"]))


def test_metrics_that_are_no_means():
    random = np.random.default_rng(5)

    def one(scale):
        x = random.normal(size=30) * scale
        return Outcome("p", "spread", "records", {"x": x}, metrics={"spread": spread_of}, higher={"spread": False})

    a, b = [one(1) for _ in range(6)], [one(5) for _ in range(6)]
    found = compare_runs(a, b, n=100)
    assert found.verdict == "better"
    expected = np.mean([spread_of(x.columns) - spread_of(y.columns) for x, y in zip(a, b, strict=True)])
    assert found.difference.mean == pytest.approx(expected)
    assert found.difference.low < expected < found.difference.high


def test_bad_input():
    one = outcome([0.1, 0.2])
    for a, b in (([one], [one]), ([one, one], [one]), ([], [])):
        with pytest.raises(UsageError, match="cannot be compared"):
            compare_runs(a, b)
    named = outcome([0.1, 0.2, 0.3], names=["a", "b", "c"])
    fewer = outcome([0.1, 0.2], names=["a", "b"])
    with pytest.raises(DataError, match="not all runs were measured on the same queries: 2 of 3"):
        compare_runs([named, named], [named, fewer])
    with pytest.raises(UsageError, match="no metric"):
        compare_runs([one, one], [one, one], "ndcg")
