"""Spectra: effective rank, RankMe, dead directions, IsoScore and the partition function, on clouds whose answer is known."""

import math

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.maths import spectra
from nearfar.probes.dimensional_collapse import dimensional_collapse
from nearfar.probes.figures import Figures
from nearfar.probes.iso_score import iso_score
from nearfar.probes.partition_isotropy import partition_isotropy
from nearfar.probes.rank_me import EPSILON, rank_me
from nearfar.probes.spectrum import spectrum


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40), (8, 8)])
@pytest.mark.parametrize("strip", [16, 1 << 22])
def test_eigenvalues_equal_those_of_numpy(n, d, strip, monkeypatch):
    monkeypatch.setattr(spectra, "STRIP", strip)
    x = torch.randn(n, d) + 3
    want = np.sort(np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True)))[::-1][: min(n, d)]
    found = spectrum(x)
    np.testing.assert_allclose(found.curves["eigenvalue"], want, atol=1e-12)
    raw = np.linalg.svd(x.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(rank_me(x).curves["singular_value"], raw, rtol=1e-6)
    assert raw[0] ** 2 / n > 2 * want[0], "a common mean counts in one and not in the other"
    shares = want / want.sum()
    assert found.figure() == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares if p > 1e-12)))
    shares = raw / raw.sum() + EPSILON
    assert rank_me(x).figure() == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-5)
    assert rank_me(x).figure() != pytest.approx(found.figure(), rel=0.01)


@pytest.mark.parametrize("r", [1, 2, 5, 12])
def test_data_of_rank_r(r):
    axes, _ = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))
    cross = torch.cat([torch.eye(r, dtype=torch.float64), -torch.eye(r, dtype=torch.float64)])  # r equal variances
    x = cross @ axes[:r]
    found = spectrum(x)
    assert found.figure("effective_rank") == pytest.approx(r)
    assert found.figure("participation_ratio") == pytest.approx(r)
    assert found.figure("directions_99") == r
    assert rank_me(x).figure() == pytest.approx(r, rel=1e-3)
    assert iso_score(x).figure() == pytest.approx((r - 1) / 15, abs=1e-12)
    seen = min(2 * r - 1, 16)
    assert dimensional_collapse(x).figures() == {"collapsed": seen - r, "live": r}


def test_a_collapsed_table():
    same = torch.ones(20, 6) * 0.1
    assert spectrum(same).figures() == {
        "effective_rank": 0.0,
        "participation_ratio": 0.0,
        "directions_90": 0.0,
        "directions_99": 0.0,
        "first_share": 1.0,
    }
    assert rank_me(same).figure() == pytest.approx(1, rel=1e-4)
    assert dimensional_collapse(same).figures() == {"collapsed": 6.0, "live": 0.0}
    with pytest.raises(DataError, match="no variance"):
        iso_score(same)


def test_dead_directions_are_told_from_weak_ones():
    x = torch.randn(300, 10) * torch.tensor([1.0] * 6 + [1e-2] * 2 + [1e-5] * 2)
    assert dimensional_collapse(x).figures() == {"collapsed": 2.0, "live": 8.0}
    assert dimensional_collapse(x, 1e-3).figure() == 4
    curve = dimensional_collapse(x).curves["log10_singular_value"]
    assert curve[6] == pytest.approx(-4, abs=0.2)
    assert curve[8] == pytest.approx(-10, abs=0.2)
    assert dimensional_collapse(x[:5]).facts["counted"] == 4, "five rows cannot show ten directions"


def paper_iso_score(x):
    """The steps of the paper one by one."""
    d = x.shape[1]
    turned = (x - x.mean(0)) @ np.linalg.eigh(np.cov(x.T))[1]
    variances = np.array([column.var() for column in turned.T])
    scaled = math.sqrt(d) * variances / math.sqrt(sum(v * v for v in variances))
    defect = math.sqrt(sum((v - 1) ** 2 for v in scaled)) / math.sqrt(2 * (d - math.sqrt(d)))
    fraction = (d - defect**2 * (d - math.sqrt(d))) ** 2 / d**2
    return (d * fraction - 1) / (d - 1)


def test_iso_score_equals_the_steps_of_the_paper():
    x = np.random.default_rng(0).normal(size=(80, 6)) * np.arange(1, 7) + 5
    assert iso_score(x).figure() == pytest.approx(paper_iso_score(x))
    # the effective rank in the place of the participation ratio would be something else
    assert (spectrum(x).figure() - 1) / 5 != pytest.approx(paper_iso_score(x), rel=0.05)
    ball = np.random.default_rng(0).normal(size=(50_000, 5))
    assert iso_score(ball).figure() > 0.999
    assert iso_score(ball + 10).figure() > 0.999, "a common mean does not count"


def test_partition_isotropy():
    x = np.random.default_rng(0).normal(size=(60, 4)) * [1, 2, 1, 0.5] + [0.5, 0, 0, 0]
    axes = np.linalg.eigh(x.T @ x)[1]
    sums = [sum(math.exp(float(sign * axis @ row)) for row in x) for axis in axes.T for sign in (1, -1)]
    assert partition_isotropy(x).figure() == pytest.approx(min(sums) / max(sums))
    one_sign = [sum(math.exp(float(axis @ row)) for row in x) for axis in axes.T]
    assert min(one_sign) / max(one_sign) > 1.05 * min(sums) / max(sums)
    ball = np.random.default_rng(0).normal(size=(20_000, 5))
    assert partition_isotropy(ball).figure() > 0.9
    assert partition_isotropy(ball + 2).figure() < 0.01, "a common mean does count"
    assert partition_isotropy(1e4 * ball).figure() >= 0, "nothing overflows"


def test_vectors_whose_squares_are_no_numbers():
    x = torch.randn(30, 4)
    assert spectrum(1e30 * x).figures() == pytest.approx(spectrum(x).figures(), rel=1e-4)
    assert rank_me(1e-30 * x).figure() == pytest.approx(rank_me(x).figure(), rel=1e-4)


def test_errors():
    with pytest.raises(DataError, match="needs 2"):
        spectrum(torch.ones(1, 3))
    with pytest.raises(DataError, match="all vectors are zero"):
        rank_me(torch.zeros(3, 3))
    with pytest.raises(UsageError, match="tolerance = 2"):
        dimensional_collapse(torch.eye(3), 2)
    with pytest.raises(UsageError, match="one dimension"):
        iso_score(torch.ones(3, 1))
    with pytest.raises(UsageError, match="no figure 'rank'"):
        Figures("made", "rank", {"size": 1.0})
    assert list(Figures("made", "b", {"a": 1.0, "b": 2.0}).figures()) == ["b", "a"]
