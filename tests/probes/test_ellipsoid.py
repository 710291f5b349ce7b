"""The cloud before normalisation: known clouds."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError
from nearfar.probes.ellipsoid import ellipsoid


def test_equals_numpy():
    x = np.random.default_rng(0).normal(size=(50, 4)) @ np.random.default_rng(1).normal(size=(4, 4)) + 2
    mean, covariance = x.mean(0), np.cov(x.T, bias=True)
    distance = np.linalg.norm(x - mean, axis=1)
    values = np.linalg.eigvalsh(covariance)
    off = covariance - np.diag(np.diag(covariance))
    want = {
        "offset": np.linalg.norm(mean) / np.sqrt(np.trace(covariance)),
        "thickness": distance.std() / distance.mean(),
        "spread": values.std() / values.mean(),
        "tilt": (off**2).sum() / (covariance**2).sum(),
    }
    found = ellipsoid(x)
    assert found.figures() == pytest.approx(want)
    assert ellipsoid(7 * x).figures() == pytest.approx(want), "the scale does not count"
    assert ellipsoid(x - mean).figure("offset") == pytest.approx(0, abs=1e-9) != want["offset"]


def test_known_clouds():
    generator = torch.Generator().manual_seed(0)
    ball = ellipsoid(torch.randn(20_000, 50, generator=generator))
    assert ball.figure("thickness") == pytest.approx((50 / 2) ** 0.5 / 50, rel=0.03)
    assert ball.figure("spread") < 0.1
    assert ball.figure("tilt") < 0.01
    line = ellipsoid(torch.randn(1000, 1, generator=generator) * torch.ones(1, 9))
    assert line.figure("spread") == pytest.approx(8**0.5)
    assert line.figure("tilt") == pytest.approx(1 - 1 / 9)
    with pytest.raises(DataError, match="equal"):
        ellipsoid(torch.ones(4, 3))
