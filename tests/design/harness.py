"""Plain and unevenly tiled running against naive loops, in float64: the loss and the gradient of every leaf.

Each system of this folder brings `run(tile)`, the system in the library's algebra, `naive()`, the same in Python loops over single
scores, and `wrong()`, a naive variant with a mistake that people make; the check must tell it from the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

TOLERANCE = 1e-11
UNEVEN = (None, 1, 5, "auto")


def leaf(*shape: int, seed: int) -> Tensor:
    """Random float64 numbers that want a gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def outcome(loss: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The loss and every gradient; a leaf that takes no part has gradient zero."""
    for x in leaves:
        x.grad = None
    loss.backward()
    return [loss.detach(), *[torch.zeros_like(x) if x.grad is None else x.grad.clone() for x in leaves]]


def distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def check(
    run: Callable[[object], Tensor],
    naive: Callable[[], Tensor],
    wrong: Callable[[], Tensor],
    leaves: Sequence[Tensor],
    tiles: Sequence[object] = UNEVEN,
) -> None:
    """`run` equals `naive` in every tiling, every leaf takes part, and `wrong` is told apart."""
    truth = outcome(naive(), leaves)
    assert all(float(g.abs().max()) > 1e-6 for g in truth[1:]), "a leaf without influence proves nothing"
    for tile in tiles:
        gap = distance(outcome(run(tile), leaves), truth)
        assert gap < TOLERANCE, f"tile={tile}: off by {gap:.1e}"
    assert distance(outcome(wrong(), leaves), truth) > 1e-4, "the wrong variant passes as right"


def log_sum_exp(scores: Sequence[Tensor]) -> Tensor:
    """log of the sum of exponentials, written out."""
    return sum((s.exp() for s in scores), start=torch.zeros((), dtype=torch.float64)).log()


def mean(losses: Sequence[Tensor]) -> Tensor:
    return sum(losses, start=torch.zeros((), dtype=torch.float64)) / len(losses)
