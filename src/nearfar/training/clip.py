"""Gradient clipping by the global norm, for gradients that are whole, sharded or sparse; and the norm of each part by itself.

        |g| = sqrt(sum over parameters |g_p|^2),      g_p = g_p * min(1, most / |g|)

Each parameter counts once, however many parts it is in. The gradients of ranks must have been summed before: then the norm is that
of the global batch, and the same on every rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nearfar.core.errors import UsageError


@dataclass(frozen=True)
class Norms:
    """Norms of a step's gradient before it was clipped: of all, and of each part."""

    total: float
    parts: dict[str, float]

    @property
    def finite(self) -> bool:
        """Whether the gradient is one that a step can be taken with."""
        return math.isfinite(self.total)


@torch.no_grad()
def clip_gradients(parts: Mapping[str, Iterable[nn.Parameter]], most: float | None = None) -> Norms:
    """Scale all gradients in place so that their global norm is at most `most`; None only measures.

    A sparse gradient is coalesced in place first: before, a row that occurs twice would count as two. Sharded ones (FSDP2) take a
    collective: call this on every rank. A norm that is not finite scales nothing: the caller sees it, and should not take the step.
    Raises UsageError unless `most` is above zero.

    >>> tower = nn.Linear(2, 1, bias=False)
    >>> tower.weight.grad = torch.tensor([[3.0, 4.0]])
    >>> clip_gradients({"tower": tower.parameters()}, most=1.0).total, tower.weight.grad
    (5.0, tensor([[0.6000, 0.8000]]))
    """
    if most is not None and not most > 0:
        raise UsageError(f"gradients cannot be clipped to a norm of {most}", where="fit.clip", remedy="1.0 is usual")
    members = {name: dict.fromkeys(p for p in own if p.grad is not None) for name, own in parts.items()}
    every = list(dict.fromkeys(p for own in members.values() for p in own))
    squares = dict(zip(every, (found**2 for found in lengths(_gradient(p) for p in every)), strict=True))
    total = math.sqrt(sum(squares.values()))
    if most is not None and math.isfinite(total) and total > most:
        for parameter in every:
            assert parameter.grad is not None
            parameter.grad.mul_(most / total)
    return Norms(total, {name: math.sqrt(sum(squares[p] for p in own)) for name, own in members.items()})


def lengths(tensors: Iterable[Tensor]) -> list[float]:
    """The length of each tensor as one vector; of a sharded one (FSDP2) that of all its shards: a collective for every rank to take."""
    found = [torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    whole: list[Tensor] = [f.full_tensor() if hasattr(f, "full_tensor") else f for f in found]
    if not whole:
        return []
    # All in one transfer: each by itself would stop a GPU once a parameter.
    device = whole[0].device
    return torch.stack([f.to(device, torch.float32 if device.type == "mps" else torch.float64) for f in whole]).tolist()


def _gradient(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if gradient.is_sparse:
        gradient = parameter.grad = gradient.coalesce()
        return gradient.values()
    return gradient
