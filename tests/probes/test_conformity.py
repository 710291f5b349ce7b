"""Conformity against all pairs; how two modalities differ in it."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.conformity import conformity, conformity_divergence


def test_equals_the_mean_over_pairs():
    x = torch.randn(30, 6, dtype=torch.float64) + 0.5
    cosines = torch.cosine_similarity(x[:, None], x[None], dim=-1).numpy()
    off = ~np.eye(30, dtype=bool)
    found = conformity(x)
    want = np.array([cosines[i][off[i]].mean() for i in range(30)])
    np.testing.assert_allclose(found.columns["conformity"], want)
    assert not np.allclose(cosines.mean(1), want), "with itself among the others it would be larger"
    assert found.figure("average_cosine") == pytest.approx(cosines[off].mean())
    to_mean = torch.cosine_similarity(x, x.mean(0, keepdim=True)).numpy()
    np.testing.assert_allclose(found.columns["to_mean"], to_mean)
    assert found.figure("estimate") == pytest.approx(np.corrcoef(want, to_mean)[0, 1])


def test_known_answers():
    assert conformity(torch.eye(5)).figure() == pytest.approx(0.0, abs=1e-12)
    simplex = torch.eye(5) - 1 / 5
    assert conformity(simplex).figure() == pytest.approx(-1 / 4)
    collapsed = conformity(torch.ones(5, 3))
    assert collapsed.figure() == pytest.approx(1.0)
    assert -1 <= collapsed.figure("estimate") <= 1
    # off the origin the estimate cannot fail, so it proves nothing
    off_centre = torch.randn(500, 64) + 1
    assert conformity(off_centre).figure("estimate") > 0.99


def test_divergence():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4000, 16, generator=generator) + 1
    same, apart = conformity_divergence(x, y), conformity_divergence(x, y - 0.5)
    assert same.figure() < 0.05 < 1 < apart.figure()
    first, second = (conformity(t).columns["conformity"] for t in (x, y - 0.5))
    assert apart.figure("wasserstein") == pytest.approx(np.abs(np.sort(first) - np.sort(second)).mean())
    assert apart.figure("wasserstein") != pytest.approx(np.abs(first - second).mean(), rel=1e-3)
    p, q = (apart.curves[side] for side in "xy")
    assert p.sum() == pytest.approx(1) == q.sum()
    assert apart.figure() == pytest.approx(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))
    # a smaller second set is allowed
    assert conformity_divergence(x, y[:1000]).figure("wasserstein") < 0.02


def test_errors():
    with pytest.raises(UsageError, match="1 bins"):
        conformity_divergence(torch.eye(3), torch.eye(3), bins=1)
    with pytest.raises(DataError, match="zero"):
        conformity(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
