"""Corrections and effect sizes against loops and scipy; corrections keep what they promise, by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.corrections import benjamini_hochberg, holm
from nearfar.probes.effect_sizes import cliffs_delta, cohens_d, superiority

P = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def holm_rejects(p, level):
    """The step-down procedure as it is told: go on while the smallest of those left is at most level / how many are left."""
    left, rejected = sorted(range(len(p)), key=lambda i: p[i]), set()
    while left and p[left[0]] * len(left) <= level:
        rejected.add(left.pop(0))
    return rejected


@given(P, st.floats(0.01, 0.5))
def test_holm_is_the_step_down_procedure(p, level):
    adjusted = holm(p)
    found = {i for i in range(len(p)) if adjusted[i] <= level}
    # Equal p values are rejected together or not at all: those at the border stand for one another.
    assert sorted(p[i] for i in found) == sorted(p[i] for i in holm_rejects(p, level))


def test_holm_known_answer_and_wrong_ones():
    p = [0.012, 0.02, 0.011, 0.9]
    assert holm(p) == pytest.approx([0.044, 0.044, 0.044, 0.9])
    assert holm(p) != pytest.approx(np.minimum(1, np.array(p) * 4))  # Bonferroni
    assert holm(p) != pytest.approx(np.minimum(1, [0.036, 0.04, 0.044, 0.9]))  # without the running maximum


@given(P)
def test_benjamini_hochberg_is_scipy_s(p):
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


def test_benjamini_yekutieli_would_be_noticed():
    p = [0.01, 0.02, 0.3]
    assert benjamini_hochberg(p) != pytest.approx(stats.false_discovery_control(p, method="by"))


def test_what_is_promised_holds_by_simulation():
    random = np.random.default_rng(0)
    true, runs, m = 6, 800, 10
    any_false, share_false, uncorrected = 0.0, 0.0, 0.0
    for _ in range(runs):
        z = random.normal(size=m) + np.where(np.arange(m) < true, 0, 3)
        p = 2 * stats.norm.sf(np.abs(z))
        any_false += (holm(p)[:true] <= 0.05).any() / runs
        uncorrected += (p[:true] <= 0.05).any() / runs
        found = benjamini_hochberg(p) <= 0.05
        share_false += found[:true].sum() / max(1, found.sum()) / runs
    assert any_false < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert share_false < 0.05
    assert uncorrected > 0.2


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.lists(st.integers(0, 4), min_size=1, max_size=7))
def test_cliffs_delta_is_the_share_of_all_pairs(a, b):
    pairs = [np.sign(x - y) for x in a for y in b]
    assert cliffs_delta(a, b) == pytest.approx(np.mean(pairs))
    assert cliffs_delta(b, a) == pytest.approx(-np.mean(pairs))


def test_effect_sizes_know_pairs_from_groups():
    a, b = [1.0, 2.0, 3.0, 4.0], [0.9, 1.9, 2.9, 4.1]
    assert superiority(a, b) == 0.75
    assert cliffs_delta(a, b) == (9 - 7) / 16
    assert superiority([1, 1], [1, 1]) == 0.5
    d = np.subtract(a, b)
    assert cohens_d(a, b) == pytest.approx(d.mean() / d.std(ddof=1))
    assert cohens_d(a, b) != pytest.approx(d.mean() / d.std())
    pooled = d.mean() / np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / 2)
    assert cohens_d(a, b) != pytest.approx(pooled)
    assert cohens_d([0.3, 0.5], [0.1, 0.3]) == np.inf
    assert cohens_d([0.1, 0.3], [0.3, 0.5]) == -np.inf
    assert cohens_d([1, 2], [1, 2]) == 0


def test_bad_input():
    for bad in ([0.5, np.nan], [1.2], [-0.1], [[0.1]]):
        for correct in (holm, benjamini_hochberg):
            with pytest.raises(DataError, match="0 to 1"):
                correct(bad)
    for size in (cohens_d, superiority):
        with pytest.raises(UsageError, match="a has 2 values and b has 3"):
            size([1, 2], [1, 2, 3])
    for size in (cohens_d, superiority, cliffs_delta):
        with pytest.raises(DataError, match="finite"):
            size([1, np.nan], [1, 2])
        with pytest.raises(DataError, match="finite"):
            size([], [])
    with pytest.raises(DataError, match="no deviation"):
        cohens_d([1], [2])
    assert len(holm([])) == len(benjamini_hochberg([])) == 0
