"""The ways of running a problem: plain, tiled, micro-batched, accumulated, on ranks, sharded, and these together.

Each way takes a problem and returns its loss and the gradient of everything it learns. All must equal the problem's naive loops;
`wrong_ways` holds the mistakes that people make, which must not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfar.core.rows import Rows
from nearfar.execution.contrast import contrast
from nearfar.execution.evaluate import Tiling
from nearfar.execution.micro_batched import Stream, backward
from nearfar.execution.ranks import ranks, sum_gradients
from nearfar.testing.problem import Problem
from nearfar.testing.rank_group import RankGroup

Make = Callable[..., Problem]
Outcome = list[Tensor]


@dataclass(frozen=True)
class Way:
    """How to run: rows a tile, cost of a micro-batch (None: no second pass), number of ranks, sharded parameters."""

    tile: Tiling = None
    micro_batch: float | None = None
    ranks: int = 1
    sharded: bool = False
    accumulated: bool = False


WAYS: dict[str, Way] = {
    "plain": Way(),
    "tiled": Way(tile=2),
    "tiled by itself": Way(tile="auto"),
    "micro-batched": Way(micro_batch=2),
    "accumulated": Way(tile=4, accumulated=True),
    "2 ranks": Way(ranks=2),
    "4 ranks": Way(ranks=4),
    "tiled, micro-batched, 2 ranks": Way(tile=2, micro_batch=2, ranks=2),
    "FSDP2": Way(tile="auto", micro_batch=3, ranks=2, sharded=True),
}


def truth(problem: Problem) -> Outcome:
    """Loss and gradients by the naive loops."""
    return differentiated(problem.loops(problem.embedded()), problem.parameters())


def run(way: Way, make: Make, arguments: tuple[Any, ...], groups: Mapping[int, RankGroup]) -> Outcome:
    """Loss and gradients of the problem `make(*arguments)`, run in a way; those of the rank that differs most, if several."""
    if way.ranks == 1:
        return run_here(way, make(*arguments))
    outcomes = groups[way.ranks].run(on_rank, way, make, arguments)
    worst = max(range(len(outcomes)), key=lambda r: gap(outcomes[r], outcomes[0]))
    return outcomes[worst]


def on_rank(way: Way, make: Make, arguments: tuple[Any, ...]) -> Outcome:
    """What one rank of a group does; called by name in its process."""
    return run_here(way, make(*arguments))


def run_here(way: Way, problem: Problem) -> Outcome:
    """Run a problem in this process, with the ranks that it belongs to."""
    parameters = problem.parameters()
    if way.sharded:
        _shard(problem)
    tables = {n: share(t, way.ranks) for n, t in problem.tables.items()}
    if way.accumulated:
        first, second = (_contrast(problem, problem.embedded(), way.tile) for _ in range(2))
        loss = (first + 3 * second) / 4
        loss.backward()
    elif way.micro_batch is not None or way.sharded:
        streams = {
            n: _stream(problem.towers[n], t) if n in problem.towers else Stream(replicated(t), torch.arange(len(t)))
            for n, t in tables.items()
        }
        loss = backward(problem.objective, streams, micro_batch=way.micro_batch, tile=way.tile).loss
    else:
        embedded = {
            n: t.with_vectors(problem.towers[n](t.vectors)) if n in problem.towers else t for n, t in tables.items()
        }
        loss = _contrast(problem, embedded, way.tile)
        loss.backward()
    learned = problem.parameters() if way.sharded else parameters
    sum_gradients(learned)
    return [loss.detach(), *(_gradient(p) for p in learned)]


def _stream(tower: nn.Module, table: Rows) -> Stream:
    """Features through a tower; which tokens are real goes along."""
    if table.mask is None:
        return Stream(tower, table.vectors, table.columns)

    def masked(inputs: tuple[Tensor, Tensor]) -> Rows:
        return Rows(tower(inputs[0]), mask=inputs[1])

    return Stream(masked, (table.vectors, table.mask), table.columns, module=tower)


class replicated:  # noqa: N801 - used like a function
    """Learned rows as a stream: what a rank's records choose of them."""

    def __init__(self, table: Rows) -> None:
        self.table = table

    def __call__(self, index: Tensor) -> Rows:
        return self.table.take(index)


def share(table: Rows, size: int) -> Rows:
    """The rows of this rank: uneven, and none at all on one rank of four."""
    together = ranks()
    if together is None or table.replicated:
        return table
    cuts = {2: (0, 0.6, 1), 4: (0, 0.25, 0.25, 0.7, 1)}[size]
    first, last = (round(cuts[together.rank + at] * len(table)) for at in (0, 1))
    return table.take(slice(first, last))


def gap(first: Outcome, second: Outcome) -> float:
    """The largest difference of any number."""
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def _contrast(problem: Problem, embedded: Mapping[str, Rows], tile: Tiling) -> Tensor:
    others = {n: t for n, t in embedded.items() if n not in ("x", "y")}
    return contrast(problem.objective, embedded["x"], embedded.get("y"), streams=others, tile=tile)


def differentiated(loss: Tensor, parameters: list[Tensor]) -> Outcome:
    """The loss and its gradient with respect to each parameter, zero where it has none."""
    if not loss.requires_grad:
        return [loss.detach(), *(torch.zeros_like(p) for p in parameters)]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        loss.detach(),
        *(torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)),
    ]


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        whole = getattr(parameter, "full_tensor", None)
        return torch.zeros_like(whole() if whole is not None else parameter).detach()
    whole = getattr(parameter.grad, "full_tensor", None)
    return (whole() if whole is not None else parameter.grad).detach()


def _shard(problem: Problem) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for tower in problem.towers.values():
        for layer in tower.children():
            if any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh)
        fully_shard(nn.Module.requires_grad_(tower), mesh=mesh)
