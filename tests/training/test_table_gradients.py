"""Gradients of tables that keep their memory: the same training to the bit, and no movement of a table that a step does not use."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from nearfar.encoders.static import Static
from nearfar.training.optimisers import groups_of
from nearfar.training.table_gradients import cleared_gradients, tables_of

TEXTS = ["read a file", "close the file", "sum two numbers", "sort a list", "read numbers", "a file of numbers"]


@contextmanager
def given_back(optimiser, tables):
    """What is usual: no gradient keeps its memory."""
    optimiser.zero_grad(set_to_none=True)
    yield


@contextmanager
def cleared_and_never_none(optimiser, tables):
    """The wrong variant: a table that is not used decays, and its moments move it on."""
    optimiser.zero_grad(set_to_none=False)
    yield


def trained(cleared) -> tuple[Tensor, Tensor]:
    """Two encoders, the second of which is used in every other step only."""
    towers = nn.ModuleList(Static.fit({"text": TEXTS}, dimension=8, buckets=4, seed=seed) for seed in (0, 1))
    groups = groups_of({"towers": towers})
    optimiser = torch.optim.AdamW(towers.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(6):
        with cleared(optimiser, tables_of(groups)):
            for tower in towers[: 1 + step % 2]:
                for half in (TEXTS[:3], TEXTS[3:]):
                    tower(tower.prepare(half)).vectors.pow(2).sum().backward()
        optimiser.step()
    return towers[0].table.detach(), towers[1].table.detach()


def test_a_training_is_the_same_to_the_bit() -> None:
    expected, made = trained(given_back), trained(cleared_gradients)
    assert torch.equal(made[0], expected[0])
    assert torch.equal(made[1], expected[1])
    wrong = trained(cleared_and_never_none)
    assert torch.equal(wrong[0], expected[0])
    assert not torch.equal(wrong[1], expected[1])


def test_a_gradient_keeps_its_memory_and_what_is_no_table_does_not() -> None:
    tower, head = Static.fit({"text": TEXTS}, dimension=8, buckets=4), nn.Linear(8, 2)
    groups = groups_of({"tower": tower, "head": head})
    assert tables_of(groups) == [tower.table]
    optimiser = torch.optim.AdamW([*tower.parameters(), *head.parameters()])
    places = []
    for _ in range(2):
        with cleared_gradients(optimiser, tables_of(groups)):
            assert head.weight.grad is None
            head(tower(tower.prepare(TEXTS)).vectors).sum().backward()
        assert tower.table.grad is not None
        places.append(tower.table.grad.data_ptr())
    assert places[0] == places[1]


def test_after_an_error_no_gradient_is_left_half_made() -> None:
    tower = Static.fit({"text": TEXTS}, dimension=8, buckets=4)
    optimiser = torch.optim.SGD(tower.parameters())
    tower(tower.prepare(TEXTS)).vectors.sum().backward()
    with pytest.raises(RuntimeError, match="stop"), cleared_gradients(optimiser, [tower.table]):
        raise RuntimeError("stop")
    assert tower.table.grad is None


class Tabled(nn.Module):
    """A module that names its table."""

    tables = ("table",)

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table


class Sharded(nn.Parameter):
    """What tells a weight under FSDP2 from others."""

    device_mesh = "a mesh"


def test_tables_that_are_sharded_are_left_alone() -> None:
    table = nn.Parameter(torch.zeros(2, 2))
    assert tables_of(groups_of({"m": Tabled(table)})) == [table]
    assert tables_of(groups_of({"m": Tabled(Sharded(torch.zeros(2, 2)))})) == []
