"""Draws are functions of (seed, purpose, step, ids): the same whoever asks, spread as they should be, and fixed for ever."""

import math

import pytest
import torch

import nearfar as nf
from nearfar.core.draws import Chance, Draws, beta, normal, row_ids, uniform
from nearfar.core.errors import UsageError

MANY = torch.arange(40_000)


def far_from(drawn, cdf):
    """Kolmogorov's distance times sqrt(n): beyond 1.95 in one of a thousand samples."""
    x = drawn.sort().values
    n = len(x)
    return float((cdf(x) - (torch.arange(n) + 0.5) / n).abs().max()) * math.sqrt(n)


def test_a_draw_depends_on_nothing_but_its_ids():
    record, number = torch.tensor([9, -4, 2**62]), torch.arange(5)
    block = uniform(3, "p", 7, record[:, None], number)
    for i in range(3):
        for j in range(5):
            assert uniform(3, "p", 7, int(record[i]), int(number[j])) == block[i, j]
    assert torch.equal(uniform(3, "p", 7, record.flip(0)[:, None], number), block.flip(0))
    torch.manual_seed(1)
    assert torch.equal(uniform(3, "p", torch.tensor(7), record[:, None], number), block)


@pytest.mark.parametrize(
    "other", [(4, "p", 7, 9, 0), (3, "q", 7, 9, 0), (3, "p", 8, 9, 0), (3, "p", 9, 7, 0), (3, "p", 7, 9)]
)
def test_whatever_differs_makes_another_draw(other):
    assert uniform(*other) != uniform(3, "p", 7, 9, 0)


def test_draws_are_fixed_for_ever():
    """Runs are resumed and repeated by these numbers: they may never change."""
    assert uniform(0, "fixed", 1, 2).item() == FIXED[0]
    assert normal(0, "fixed", 1, 2).item() == pytest.approx(FIXED[1], abs=1e-14)
    assert beta(2, 8, 0, "fixed", 1, 2).item() == pytest.approx(FIXED[2], abs=1e-14)


FIXED = (0.5449038519845568, 1.311988377603516, 0.17799309321615814)


def test_uniform_draws_are_uniform_and_unrelated():
    u = uniform(0, "p", MANY)
    assert (u > 0).all()
    assert (u < 1).all()
    assert far_from(u, lambda x: x) < 1.95
    assert far_from(u.square(), lambda x: x) > 10
    others = [uniform(1, "p", MANY), uniform(0, "q", MANY), uniform(0, "p", 0, MANY), u.roll(1)]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([u, other]))[0, 1])) < 4 / math.sqrt(len(u))


def test_normal_draws_are_normal():
    z = normal(0, "p", MANY)
    assert far_from(z, torch.special.ndtr) < 1.95
    assert far_from(z * 1.1, torch.special.ndtr) > 1.95


@pytest.mark.parametrize(
    ("a", "b", "cdf"),
    [
        (2.0, 8.0, lambda x: 1 - (1 - x) ** 9 - 9 * x * (1 - x) ** 8),
        (1.0, 1.0, lambda x: x),
        (0.5, 0.5, lambda x: 2 / math.pi * x.sqrt().asin()),
        (2.0, 2.0, lambda x: x * x * (3 - 2 * x)),
    ],
)
def test_beta_draws_have_their_distribution(a, b, cdf):
    drawn = beta(a, b, 0, "p", MANY)
    assert drawn.isfinite().all()
    assert far_from(drawn, cdf) < 1.95
    assert far_from(beta(a, b * 1.3, 0, "p", MANY), cdf) > 1.95


def test_beta_draws_of_odd_shapes_have_their_moments():
    for a, b in ((1.6, 1.6), (0.3, 4.0), (50.0, 2.0)):
        drawn = beta(a, b, 5, "p", MANY)
        deviation = math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
        assert abs(float(drawn.mean()) - a / (a + b)) < 4 * deviation / math.sqrt(len(MANY))
        assert abs(float(drawn.std()) / deviation - 1) < 0.03
    with pytest.raises(UsageError, match="beta distribution"):
        beta(0.0, 1.0, 0, "p", 1)


def test_the_chance_of_a_row_is_that_of_its_record_and_view():
    table = nf.rows(torch.eye(4), record=[5, 6, 5, 6], view=[0, 0, 1, 1])
    ids = row_ids(table)
    assert len(set(ids.tolist())) == 4
    assert torch.equal(row_ids(table.take(torch.tensor([3, 1]))), ids[[3, 1]])
    assert row_ids(nf.rows(torch.eye(2), record=[8, 3])).tolist() == [8, 3]
    with pytest.raises(UsageError, match="'record'"):
        row_ids(nf.Rows(torch.eye(2)))


def test_the_step_moves_in_update_alone():
    chance = Chance("demo", seed=0)
    first = chance.uniform("x", MANY)
    assert torch.equal(chance.uniform("x", MANY), first)
    chance.update()
    assert not torch.equal(chance.uniform("x", MANY), first)
    again = Chance("demo", seed=0)
    again.load_state_dict(chance.state_dict())
    assert torch.equal(again.uniform("x", MANY), chance.uniform("x", MANY))


def test_the_draws_of_a_view_belong_to_record_epoch_and_view():
    record = torch.tensor([17, 4, 9])
    draws = Draws(3, 2, record, view=1)
    assert draws.uniform("a", 3).shape == (3, 3)
    some = Draws(3, 2, record, torch.tensor([1, 1, 1])).take(torch.tensor([2, 0]))
    for make in (
        lambda d: d.uniform("a"),
        lambda d: d.uniform("a", 3),
        lambda d: d.normal("a"),
        lambda d: d.integers("a", 100, 3),
    ):
        assert torch.equal(make(some), make(draws)[[2, 0]])
        for other in (
            Draws(4, 2, record, 1),
            Draws(3, 3, record, 1),
            Draws(3, 2, record, 0),
            Draws(3, 2, record + 1, 1),
        ):
            assert not torch.equal(make(other), make(draws))
    longer, shorter = draws.each("a", [2, 0, 5]), some.each("a", [3, 1])
    assert [len(t) for t in longer] == [2, 0, 5]
    assert torch.equal(longer[2][:3], shorter[0])
    assert torch.equal(longer[0][:1], shorter[1])


def test_whole_numbers_are_spread_over_what_is_asked_for():
    draws = Draws(0, 0, MANY)
    drawn = draws.integers("n", 7)
    assert drawn.bincount(minlength=7).sub(len(MANY) / 7).abs().max() < 4 * math.sqrt(len(MANY) / 7)
    below = torch.where(MANY % 2 == 0, 1, 1000)
    assert (draws.integers("n", below) < below).all()
    assert (draws.integers("n", below, 4)[::2] == 0).all()
