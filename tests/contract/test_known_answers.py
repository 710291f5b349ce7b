"""Losses whose value is known without computing them."""

from math import log

import pytest
import torch

import nearfar as nf


@pytest.mark.parametrize("tile", [None, 3])
@pytest.mark.parametrize("both_ways", [False, True])
def test_collapsed_embeddings_are_at_chance(tile, both_ways):
    x = torch.ones(16, 4)
    loss = nf.contrast(nf.info_nce, x, x, nf.paired(), both_ways=both_ways, temperature=0.05, tile=tile)
    assert loss.item() == pytest.approx(log(16), abs=1e-5)
    less = nf.contrast(nf.decoupled, x, x, nf.paired(), both_ways=both_ways, tile=tile)
    assert less.item() == pytest.approx(log(15), abs=1e-5)
    assert less.item() != pytest.approx(log(16), abs=1e-3)


def test_perfect_and_adversarial():
    eye = torch.eye(8)
    assert nf.contrast(nf.info_nce, eye, eye, nf.paired(), temperature=0.01).item() < 1e-6
    assert nf.contrast(nf.info_nce, eye, -eye, nf.paired(), temperature=0.01).item() == pytest.approx(
        100 + log(7), abs=1e-3
    )


def test_many_positives_at_chance_keep_the_denominator():
    x = torch.ones(12, 4)
    loss = nf.contrast(nf.info_nce, nf.rows(x, label=torch.arange(12) % 3), relation=nf.labelled())
    assert loss.item() == pytest.approx(log(11), abs=1e-5)


def test_matches_cross_entropy_of_torch():
    x, y = torch.randn(10, 6), torch.randn(10, 6)
    scores = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T / 0.07
    want = torch.nn.functional.cross_entropy(scores, torch.arange(10))
    assert nf.contrast(nf.info_nce, x, y, nf.paired(), temperature=0.07).item() == pytest.approx(want.item(), abs=1e-5)
    assert nf.contrast(nf.info_nce, x, y, nf.paired(), temperature=0.08).item() != pytest.approx(want.item(), abs=1e-3)
