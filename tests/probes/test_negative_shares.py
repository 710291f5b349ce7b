"""Shares of the gradient against autograd, and what a temperature does to them and to models."""

import math

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.negative_shares import negative_shares
from nearfar.probes.temperature_behaviour import temperature_behaviour, uniformity_tolerance


def by_autograd(x, y, temperature, labels):
    """Of each row the derivatives of InfoNCE by its scores: (of the positive, of each negative)."""
    found = []
    unit = [t / t.norm(dim=1, keepdim=True) for t in (x, y)]
    for i in range(len(x)):
        scores = (unit[1] @ unit[0][i]).requires_grad_()
        kept = [j for j in range(len(y)) if j == i or labels[j] != labels[i]]
        loss = -torch.log_softmax(scores[kept] / temperature, 0)[kept.index(i)]
        (slope,) = torch.autograd.grad(loss, scores)
        found.append((float(slope[i]), [float(slope[j]) for j in kept if j != i]))
    return found


@pytest.mark.parametrize("tile_bytes", [1, 64 << 20])
@pytest.mark.parametrize("labelled", [False, True])
def test_shares_are_those_of_the_gradient(tile_bytes, labelled):
    x, y = torch.randn(2, 120, 6, dtype=torch.float64)
    labels = [i % 40 if labelled else i for i in range(120)]
    found = negative_shares(x, y, 0.2, labels=labels if labelled else None, tile_bytes=tile_bytes)
    for i, (pull, slopes) in enumerate(by_autograd(x, y, 0.2, labels)):
        shares = sorted((s / sum(slopes) for s in slopes), reverse=True)
        row = {name: column[i] for name, column in found.columns.items()}
        assert row["pull"] == pytest.approx(-pull) == pytest.approx(sum(slopes))
        assert row["negatives"] == len(slopes) == (117 if labelled else 119)
        assert row["hardest_share"] == pytest.approx(shares[0])
        assert row["hardest_percent"] == pytest.approx(sum(shares[:2])) != pytest.approx(shares[0], rel=1e-3)
        assert row["effective_negatives"] == pytest.approx(math.exp(-sum(s * math.log(s) for s in shares)))
        # with the positive among them, shares would be smaller
        assert max(slopes) * 0.2 < row["hardest_share"]


def test_limits_of_the_temperature():
    x, y = torch.randn(2, 50, 8)
    hot, cold = negative_shares(x, y, 1e4), negative_shares(x, y, 1e-4)
    assert hot.figure() == pytest.approx(49, rel=1e-3)
    assert hot.figure("hardest_share") == pytest.approx(1 / 49, rel=1e-3)
    assert cold.figure() == pytest.approx(1, abs=0.1)
    assert cold.figure("hardest_share") > 0.95
    # a mean of 49 hides rows of one: what counts is kept row by row
    assert len(cold.columns["effective_negatives"]) == 50


def test_effective_negatives_grow_with_the_temperature():
    x, y = torch.randn(2, 40, 5)
    found = temperature_behaviour(x, y)
    assert np.all(np.diff(found.curves["effective_negatives"]) > 0)
    assert np.all(np.diff(found.curves["hardest_share"]) < 0)
    at = negative_shares(x, y, 0.1).figures()
    place = found.curves["temperature"].tolist().index(0.1)
    assert {name: found.curves[name][place] for name in at} == pytest.approx(at)
    assert found.figure("effective_negatives@0.1") == pytest.approx(at["effective_negatives"])
    # scores that do not differ leave nothing for a temperature to choose
    flat = temperature_behaviour(torch.eye(6), torch.eye(6)).curves["effective_negatives"]
    assert flat == pytest.approx(np.full(len(flat), 5.0))


def test_uniformity_against_tolerance():
    """Models from spread out to drawn together: uniformity worsens and tolerance grows, as over temperatures."""
    centres = torch.eye(4).repeat_interleave(10, 0)
    noise = torch.randn(40, 4)
    models = {1.0: centres + 0.1 * noise, 0.1: centres + noise, 0.3: centres + 0.5 * noise}
    found = uniformity_tolerance(models, torch.arange(40) // 10)
    assert found.curves["temperature"].tolist() == [0.1, 0.3, 1.0]
    for name in ("uniformity", "tolerance", "within"):
        assert np.all(np.diff(found.curves[name]) > 0), name
    backwards = uniformity_tolerance({1 / t: x for t, x in models.items()}, torch.arange(40) // 10)
    assert np.all(np.diff(backwards.curves["tolerance"]) < 0)
    assert not found.is_better_higher("uniformity@0.1")


def test_errors():
    x = torch.eye(3)
    for temperature in (0, -1, math.nan, math.inf):
        with pytest.raises(UsageError, match="temperature"):
            negative_shares(x, x, temperature)
    with pytest.raises(UsageError, match="stand beside"):
        negative_shares(x, torch.eye(4))
    with pytest.raises(DataError, match="no negative"):
        negative_shares(x, x, labels=[1, 1, 1])
    with pytest.raises(UsageError, match="no temperature"):
        temperature_behaviour(x, x, [])
    with pytest.raises(UsageError, match="no model"):
        uniformity_tolerance({}, [])
