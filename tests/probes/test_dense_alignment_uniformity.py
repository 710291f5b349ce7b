"""Dense alignment and uniformity: loops stand in the reference of `matched_places`; here known answers, intervals and bad input."""

import math

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.dense_alignment_uniformity import METRICS, dense_alignment_uniformity

DRAWS = np.random.default_rng(0)


def test_known_answers():
    one = np.ones((3, 4, 5))
    found = dense_alignment_uniformity(one, 2 * one).figures()  # collapsed: aligned, and nowhere spread
    assert found == pytest.approx(
        {"alignment": 0.0, "uniformity": 0.0, "uniformity_within": 0.0, "uniformity_across": 0.0}
    )
    # Two pictures on opposite sides, all places of one alike: spread between them, not within.
    apart = np.stack([np.ones((4, 5)), -np.ones((4, 5))])
    found = dense_alignment_uniformity(apart, -apart).figures()
    assert found["alignment"] == pytest.approx(4.0)
    assert found["uniformity_within"] == pytest.approx(0.0)
    assert found["uniformity_across"] == pytest.approx(-8.0)
    assert found["uniformity"] == pytest.approx(math.log((3 + 4 * math.exp(-8)) / 7))


def test_all_pairs_are_those_within_and_across():
    x = DRAWS.normal(size=(5, 3, 4))
    unit = (x / np.linalg.norm(x, axis=2, keepdims=True)).reshape(15, 4)
    potential = np.exp(-2 * ((unit[:, None] - unit[None]) ** 2).sum(2))
    every = potential[~np.eye(15, dtype=bool)]
    found = dense_alignment_uniformity(x, x)
    assert found.figures()["uniformity"] == pytest.approx(math.log(every.mean()))
    assert found.figures()["uniformity"] != pytest.approx(math.log(potential.mean()), abs=1e-3)
    assert set(found.metrics) == set(METRICS)


def test_what_makes_no_sense_is_refused():
    x = DRAWS.normal(size=(3, 4, 5))
    for wrong in (x[0], x[:, :3]):
        with pytest.raises(UsageError):
            dense_alignment_uniformity(x, wrong)
    hole = x.copy()
    hole[1, 2] = 0
    for bad in (hole, np.where(x > 1, np.nan, x)):
        with pytest.raises(DataError, match="direction"):
            dense_alignment_uniformity(x, bad)
    for few in (x[:1], x[:, :1]):
        with pytest.raises(DataError, match="this needs 2"):
            dense_alignment_uniformity(few, few)
