"""Uniform replacement: how often, how far, and never not at all; the chance of records is in test_contract.py."""

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from views.shared import draws


def test_share_range_and_the_least_of_one_feature():
    rows = torch.full((2000, 30), 9.0)
    changed = (made := nf.uniform_replacement(share=0.1)(rows, draws(2000))) != 9
    assert (changed.sum(1) >= 1).all()
    # A row of none would have been one in 24; it is given one.
    assert abs(float(changed.float().mean()) - 0.1 - 0.9**30 / 30) < 0.005
    values = made[changed]
    assert values.abs().max() <= 1.5
    assert abs(float(values.mean())) < 0.05
    assert float(values.std()) == pytest.approx(1.5 / 3**0.5, rel=0.03)
    plain = draws(2000).uniform("uniform_replacement, which", 30) < 0.1
    assert not plain.any(1).all(), "without the least of one, some rows stay: known bad"
    few = nf.uniform_replacement(share=0.01)(rows[:, :3], draws(2000)) != 9
    assert abs(float(few.sum(1).float().mean()) - 1.0) < 0.02


def test_nothing_and_everything():
    rows = torch.randn(20, 4)
    still = nf.uniform_replacement(share=0)(rows, draws(20))
    assert torch.equal(still, rows)
    assert still.data_ptr() != rows.data_ptr()
    assert (nf.uniform_replacement(share=1)(rows, draws(20)) != rows).all()


def test_a_spread_that_is_none_is_refused():
    for spread in (0.0, -1.0, float("inf")):
        with pytest.raises(UsageError, match="spread"):
            nf.uniform_replacement(spread=spread)
