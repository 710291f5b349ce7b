"""Neighbourhood overlap and CKA of two models: rotations, noise, loops."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.cka import cka
from nearfar.probes.neighbourhood_overlap import neighbourhood_overlap


def rotated(x):
    return x @ torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], dtype=x.dtype))[0]


def test_a_rotation_and_a_scale_change_nothing_and_noise_does():
    x = torch.randn(120, 10, dtype=torch.float64)
    assert neighbourhood_overlap(x, 3 * rotated(x)).figure() == 1
    assert cka(x, 3 * rotated(x) + 5).figures() == pytest.approx({"debiased": 1.0, "biased": 1.0})
    noisy = x + torch.randn(120, 10)
    assert 0.2 < neighbourhood_overlap(x, noisy).figure() < 0.8
    assert 0.2 < cka(x, noisy).figure() < 0.8
    # another stretch of the axes is another space, also of the same information
    assert cka(x, x * torch.linspace(0.1, 3, 10)).figure() < 0.95


def test_overlap_equals_loops_and_chance():
    x, y = torch.randn(30, 5, dtype=torch.float64), torch.randn(30, 8, dtype=torch.float64)
    found = neighbourhood_overlap(x, y, k=4)

    def near(table, i):
        cosines = torch.cosine_similarity(table[i][None], table)
        return {j for j in cosines.argsort(descending=True).tolist() if j != i and (cosines > cosines[j]).sum() <= 4}

    want = [len(near(x, i) & near(y, i)) / 4 for i in range(30)]
    assert found.columns["overlap"].tolist() == want
    assert [len(near(x, i) & near(y, i)) / len(near(x, i) | near(y, i)) for i in range(30)] != want, "not Jaccard"
    many = neighbourhood_overlap(torch.randn(500, 5), torch.randn(500, 5))
    assert many.figure() == pytest.approx(many.facts["chance"], abs=0.01)


def test_cka_equals_its_definition_on_matrices():
    x, y = (np.random.default_rng(s).normal(size=(20, d)) for s, d in ((0, 6), (1, 4)))
    y[:, :2] += x[:, :2]
    n, centre = 20, np.eye(20) - 1 / 20
    grams = [centre @ t @ t.T @ centre for t in (x, y)]

    def biased(k, m):
        return (k * m).sum()

    def unbiased(k, m):
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        one = np.ones(n)
        inner = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return np.trace(k @ m) + inner - 2 / (n - 2) * one @ k @ m @ one

    found = cka(x, y)
    for name, product in (("biased", biased), ("debiased", unbiased)):
        k, m = grams
        want = product(k, m) / np.sqrt(product(k, k) * product(m, m))
        assert found.figure(name) == pytest.approx(want), name
    assert found.figure("biased") > found.figure("debiased") + 0.05
    # not centred it is something else
    plain = [t + 2 for t in (x, y)]
    raw = [t @ t.T for t in plain]
    assert biased(*raw) / np.sqrt(biased(raw[0], raw[0]) * biased(raw[1], raw[1])) > found.figure("biased") + 0.05
    assert cka(*plain).figures() == pytest.approx(found.figures())


def test_unrelated_models_look_alike_unless_the_bias_is_taken_off():
    x, y = torch.randn(2, 100, 100)
    found = cka(x, y)
    assert found.figure("biased") == pytest.approx(0.5, abs=0.05)
    assert found.figure("debiased") == pytest.approx(0, abs=0.05)


def test_errors():
    for probe in (neighbourhood_overlap, cka):
        with pytest.raises(UsageError, match="stand beside"):
            probe(torch.eye(20), torch.eye(19))
    with pytest.raises(UsageError, match="10 neighbours"):
        neighbourhood_overlap(torch.eye(5), torch.eye(5))
    with pytest.raises(DataError, match="equal"):
        cka(torch.ones(5, 2), torch.eye(5))
    with pytest.raises(DataError, match="needs 4"):
        cka(torch.eye(3), torch.eye(3))
