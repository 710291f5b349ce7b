"""Towers whose parameters are sharded over ranks by `fully_shard` (FSDP2): sums instead of means, and one reduction a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as dist
from torch import nn


def is_sharded(tower: nn.Module | None) -> bool:
    """Whether `fully_shard` manages this tower."""
    if tower is None or not dist.is_available():
        return False
    from torch.distributed.fsdp import FSDPModule

    return any(isinstance(module, FSDPModule) for module in tower.modules())


@contextmanager
def gradients_summed_at_the_end(
    pushes: Sequence[tuple[nn.Module | None, int]],
) -> Iterator[Callable[[nn.Module | None], None]]:
    """Call what this yields before each backward pass through a tower; the last one of each tower reduces, by a sum.

    `pushes` says how often each stream will call it for which tower; a tower may serve several streams.
    """
    left: dict[int, int] = {}
    for tower, times in pushes:
        if is_sharded(tower):
            left[id(tower)] = left.get(id(tower), 0) + times

    def pushed(tower: nn.Module | None) -> None:
        if tower is None or id(tower) not in left:
            return
        left[id(tower)] -= 1
        _configure(tower, last=left[id(tower)] == 0)

    yield pushed


def _configure(tower: nn.Module, last: bool) -> None:
    from torch.distributed.fsdp import FSDPModule

    for module in tower.modules():
        if isinstance(module, FSDPModule):
            # torch divides by the number of ranks unless told; our gradients are shares of one sum.
            module.set_gradient_divide_factor(1.0)
            # In float32 torch would scale within the exchange, which only NCCL can.
            module.set_force_sum_reduction_for_comms(True)
            module.set_requires_gradient_sync(last, recurse=False)
