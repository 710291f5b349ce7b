"""Cutting a batch of records into micro-batches by what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.inputs import count, take

__all__ = ["cost_of", "count", "micro_batches", "take"]


def micro_batches(cost: Tensor, most: float | None) -> list[Tensor]:
    """Record numbers of each micro-batch: dearest first, likes together, none above `most`.

    The cost of a micro-batch is its number of records times its dearest one, for that is what padding makes of it. A record that
    costs more than `most` by itself is alone. None: all records in one, which has them in their own order, as where all fit into one.
    """
    if most is not None and most <= 0:
        raise UsageError(f"a micro-batch of cost {most} holds nothing", remedy="give a positive number")
    if most is None or not len(cost) or len(cost) * float(cost.max()) <= most:
        return [torch.arange(len(cost))]
    order = torch.argsort(cost, descending=True, stable=True)
    costs, made, first = cost[order].tolist(), [], 0
    while first < len(costs):
        # Sorted, so the first is the dearest.
        fits = max(1, int(most // max(costs[first], 1e-12)))
        made.append(order[first : first + fits])
        first += fits
    return made


def cost_of(module: Any, inputs: Any) -> Tensor:
    """Work of each record [n]: what the encoder says, else its number of real tokens, else 1."""
    if hasattr(module, "cost"):
        return torch.as_tensor(module.cost(inputs)).float().cpu()
    if isinstance(inputs, Mapping) and "attention_mask" in inputs:
        return inputs["attention_mask"].sum(1).float().cpu()
    return torch.ones(count(inputs))
