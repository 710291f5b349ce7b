"""Prepared inputs of any kind: how many records they are of, some records of them, and their bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from nearfar.core.errors import UsageError


def count(inputs: Any) -> int:
    """Number of records."""
    if isinstance(inputs, Mapping):
        return len(next(iter(inputs.values())))
    return len(inputs[0]) if isinstance(inputs, tuple) else len(inputs)


def take(inputs: Any, index: Tensor) -> Any:
    """The inputs of some records: of tensors, arrays, dicts or tuples of them, lists, or anything with a `take`.

    A dict with an `attention_mask` [n t] loses the columns that only padding is left in.
    """
    if isinstance(inputs, np.ndarray):
        return inputs[index.numpy()]  # its own `take` would flatten it
    if hasattr(inputs, "take") and not isinstance(inputs, Tensor):
        return inputs.take(index)
    if isinstance(inputs, Tensor):
        return inputs[index.to(inputs.device)]
    if isinstance(inputs, Mapping):
        return _trimmed({name: take(part, index) for name, part in inputs.items()})
    if isinstance(inputs, tuple):
        return tuple(take(part, index) for part in inputs)
    if isinstance(inputs, list):
        return [inputs[i] for i in index.tolist()]
    raise UsageError(
        f"inputs of type {type(inputs).__name__} cannot be cut into micro-batches",
        remedy="give a tensor, a dict or tuple of tensors, a list, or an object with len() and take(index)",
    )


def _trimmed(inputs: dict[str, Any]) -> dict[str, Any]:
    mask = inputs.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.ndim != 2 or not mask.numel():
        return inputs
    used = mask.bool().any(0).nonzero()
    length, width = (int(used.max()) + 1 if len(used) else 1), mask.shape[1]
    fits = {n: isinstance(t, Tensor) and t.ndim >= 2 and t.shape[1] == width for n, t in inputs.items()}
    return {name: part[:, :length] if fits[name] else part for name, part in inputs.items()}


def size_of(inputs: Any) -> int:
    """Bytes of all tensors and arrays in the inputs, as far as they can be seen.

    >>> import torch
    >>> size_of({"ids": torch.zeros(2, 3), "rest": (torch.zeros(5),)})
    44
    """
    if isinstance(inputs, Tensor | np.ndarray):
        return int(inputs.nbytes)
    if isinstance(inputs, Mapping):
        return sum(map(size_of, inputs.values()))
    if isinstance(inputs, tuple | list):
        return sum(map(size_of, inputs))
    if dataclasses.is_dataclass(inputs) and not isinstance(inputs, type):
        return sum(size_of(getattr(inputs, field.name)) for field in dataclasses.fields(inputs))
    return 0
