"""What every view of numbers must keep to, whatever it does: chance of the record alone, nothing changed in place, forms kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np
import torch

from nearfar.core.draws import Draws


def draws(records: Sized, *, seed: int = 0, epoch: int = 0, view: int = 0, first: int = 100) -> Draws:
    """The chance of records first, first + 1, ..."""
    return Draws(seed, epoch=epoch, record=torch.arange(first, first + len(records)), view=view)


def equal(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether two lists hold the same arrays, NaN being equal to NaN."""
    return len(some) == len(others) and all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) for a, b in zip(some, others, strict=True)
    )


def by_global_generator(view: Callable[..., Any]) -> Callable[..., Any]:
    """The wrong variant: the same view, drawing whatever comes next from one generator."""
    generator = np.random.default_rng(0)

    def wrong(records: Sequence[Any], given: Draws) -> Any:
        record = torch.as_tensor(generator.integers(0, 2**40, len(given)))
        return view(records, Draws(given.seed, given.epoch, record, given.view))

    return wrong


def chance_is_the_records(view: Callable[..., Any], records: Sequence[Any]) -> bool:
    """Whether each record gets the same look in the whole batch, alone, permuted and again."""
    given = draws(records)
    whole = view(records, given)
    alone = [view([record], given.take([i]))[0] for i, record in enumerate(records)]
    order = np.random.default_rng(1).permutation(len(records)).tolist()
    permuted = view([records[i] for i in order], given.take(order))
    return equal(whole, view(records, given)) and equal(whole, alone) and equal([whole[i] for i in order], permuted)


def check_view(view: Callable[..., Any], records: Sequence[np.ndarray]) -> None:
    """The laws, beside a variant that breaks them."""
    kept = [record.copy() for record in records]
    assert chance_is_the_records(view, records)
    assert not chance_is_the_records(by_global_generator(view), records)
    whole = view(records, draws(records))
    assert not equal(whole, records)
    for other in ({"seed": 1}, {"epoch": 1}, {"view": 1}, {"first": 5}):
        assert not equal(whole, view(records, draws(records, **other)))
    assert equal(records, kept)
    assert [record.dtype for record in whole] == [record.dtype for record in records]
    for kind in (torch.float32, torch.float64):
        tensors = [torch.tensor(record, dtype=kind) for record in records]
        made = view(tensors, draws(records))
        assert all(isinstance(m, torch.Tensor) and m.dtype == kind for m in made)
        assert all(
            m.shape == w.shape and np.allclose(m.numpy(), w, atol=1e-5, equal_nan=True)
            for m, w in zip(made, whole, strict=True)
        )
    assert view([], draws([])) == []


def check_identity(view: Callable[..., Any], records: Sequence[np.ndarray], atol: float = 0.0) -> None:
    """Whether the view at its mildest leaves everything as it is, in memory of its own."""
    made = view(records, draws(records))
    assert all(np.allclose(m, r, rtol=0, atol=atol, equal_nan=True) for m, r in zip(made, records, strict=True))
    assert not any(np.shares_memory(m, r) for m, r in zip(made, records, strict=True))
