"""Isotropy, diversity and coherence against loops, with known answers, and bad input."""

import math

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.statistics import compare_outcomes, interval

CHANCE = np.random.default_rng(0)
STATES = [CHANCE.normal(size=(t, 6)) + 1 for t in (5, 1, 9, 2)]
TEXTS = [CHANCE.integers(0, 4, n).tolist() for n in (20, 3, 7, 40)]


def test_isotropy_is_pooled_over_pairs_within_texts():
    pairs, per_text = [], []
    for states in STATES:
        mine = [
            float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            for i, a in enumerate(states)
            for j, b in enumerate(states)
            if i != j
        ]
        pairs += mine
        per_text += [np.mean(mine)] if mine else []
    found = nf.isotropy(STATES)
    assert found.figure() == pytest.approx(1 - np.mean(pairs), abs=1e-6)
    assert found.figure() != pytest.approx(1 - np.mean(per_text), abs=1e-3)
    assert found.facts == {"tokens": 17, "alone": 1}


@pytest.mark.parametrize(("states", "value"), [(torch.eye(4), 1.0), (torch.ones(4, 3), 0.0)])
def test_isotropy_of_known_states(states, value):
    assert nf.isotropy([states, states]).figure() == pytest.approx(value, abs=1e-6)


def test_isotropy_refuses():
    with pytest.raises(DataError, match="no text has two tokens"):
        nf.isotropy([torch.ones(1, 3)])
    with pytest.raises(DataError, match="zero"):
        nf.isotropy([torch.zeros(2, 3)])
    with pytest.raises(DataError, match="NaN"):
        nf.isotropy([torch.full((2, 3), torch.nan)])


def test_diversity_counts_what_comes_back_within_a_text():
    product, together = 1.0, 1.0
    for n in (2, 3, 4):
        different, total, union = 0, 0, set()
        for text in TEXTS:
            seen = set()
            for i in range(len(text) - n + 1):
                seen.add(tuple(text[i : i + n]))
                total += 1
            different += len(seen)
            union |= seen
        product *= different / total
        together *= len(union) / total
        assert nf.diversity(TEXTS).figure(f"rep_{n}") == pytest.approx(1 - different / total)
    assert nf.diversity(TEXTS).figure() == pytest.approx(product)
    assert nf.diversity(TEXTS).figure() != pytest.approx(together, abs=1e-3)


def test_diversity_of_known_texts():
    assert nf.diversity([list("abcdefgh")] * 2).figure() == 1.0
    loop = nf.diversity([list("ab" * 50)]).figure()
    assert loop == pytest.approx((2 / 99) * (2 / 98) * (2 / 97))


def test_diversity_refuses():
    with pytest.raises(UsageError, match="one string"):
        nf.diversity(["one two three four"])
    with pytest.raises(DataError, match="no text has 4"):
        nf.diversity([["a", "b", "c"]])


def test_coherence_is_the_mean_of_texts_means():
    given = [[-1.0, -3.0], [-4.0], [-0.5] * 4]
    found = nf.coherence(given).figure()
    assert found == pytest.approx((-2 - 4 - 0.5) / 3)
    assert found != pytest.approx(np.mean([v for text in given for v in text]), abs=1e-2)


@pytest.mark.parametrize("bad", [[], [-1.0, math.nan], [-math.inf], [0.5]])
def test_coherence_refuses(bad):
    with pytest.raises(DataError, match="text 1"):
        nf.coherence([[-1.0], bad])


def test_they_have_intervals_and_can_be_compared():
    loops, free = [list("abab" * 6) for _ in range(12)], [CHANCE.integers(0, 50, 24).tolist() for _ in range(12)]
    found = compare_outcomes(nf.diversity(free), nf.diversity(loops), n=200)
    assert found.verdict == "better"
    assert interval(nf.diversity(loops), n=200).mean < 0.1
