"""What tests of views share: the chance of records, what is equal, and the forms that numbers may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np
import torch

from nearfar.core.draws import Draws
from nearfar.core.graph import Graph


def draws(records: Sized | int, *, seed: int = 0, epoch: int = 0, view: int = 0, first: int = 100) -> Draws:
    """The chance of records (or of so many) first, first + 1, ..."""
    n = records if isinstance(records, int) else len(records)
    return Draws(seed, epoch=epoch, record=torch.arange(first, first + n), view=view)


def same(some: Any, others: Any) -> bool:
    """Whether two records are the same: texts and lists to the letter, numbers to a millionth, NaN being equal to NaN."""
    if isinstance(some, Graph):
        parts = ((g.x, g.edges, g.numbers) for g in (some, others))
        return all(same(a, b) for a, b in zip(*parts, strict=True))
    if isinstance(some, (np.ndarray, torch.Tensor)):
        a, b = np.asarray(some), np.asarray(others)
        return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-6, equal_nan=True)
    return type(some) is type(others) and some == others


def alike(some: Sequence[Any] | torch.Tensor, others: Sequence[Any] | torch.Tensor) -> bool:
    """Whether two lists hold the same records."""
    return len(some) == len(others) and all(same(a, b) for a, b in zip(some, others, strict=True))


def check_forms(view: Callable[..., Any], records: Sequence[np.ndarray]) -> None:
    """Floats keep their precision, and tensors are looked at as arrays are."""
    for kind in (np.float32, np.float64):
        assert all(m.dtype == kind for m in view([r.astype(kind) for r in records], draws(records)))
    whole = view(records, draws(records))
    for kind in (torch.float32, torch.float64):
        made = view([torch.tensor(record, dtype=kind) for record in records], draws(records))
        assert all(isinstance(m, torch.Tensor) and m.dtype == kind for m in made)
        assert all(
            m.shape == w.shape and np.allclose(m.numpy(), w, atol=1e-5, equal_nan=True)
            for m, w in zip(made, whole, strict=True)
        )


def check_identity(view: Callable[..., Any], records: Sequence[np.ndarray], atol: float = 0.0) -> None:
    """The view at its mildest leaves everything as it is, in memory of its own."""
    made = view(records, draws(records))
    assert all(np.allclose(m, r, rtol=0, atol=atol, equal_nan=True) for m, r in zip(made, records, strict=True))
    assert not any(np.shares_memory(m, r) for m, r in zip(made, records, strict=True))
