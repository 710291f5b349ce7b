"""What tests of single encoders share: vectors, what is equal, training, and sequences with something to learn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

import nearfar as nf


def vectors(encoder: Any, records: Sequence[Any]) -> torch.Tensor:
    """The vectors of records, without a gradient."""
    with torch.no_grad():
        return encoder(encoder.prepare(records)).vectors


def close(some: torch.Tensor, others: torch.Tensor) -> bool:
    """Equal to a millionth."""
    return some.shape == others.shape and torch.allclose(some, others, rtol=0, atol=1e-6)


def loss_after(encoder: Any, records: Sequence[Any], others: Sequence[Any], steps: int, rate: float = 3e-3) -> float:
    """InfoNCE of the pairs after some steps on all of them."""
    optimiser = torch.optim.AdamW(encoder.parameters(), rate)
    x, y = encoder.prepare(records), encoder.prepare(others)

    def loss() -> torch.Tensor:
        return nf.contrast(nf.info_nce, encoder(x).vectors, encoder(y).vectors, nf.paired(), temperature=0.1)

    encoder.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    encoder.eval()
    with torch.no_grad():
        return float(loss())


def shoppers() -> tuple[list[list[int]], list[list[int]]]:
    """Two sequences of each of 24 people, who have tastes of their own."""
    chance = random.Random(1)
    tastes = [chance.sample(range(1, 61), 6) for _ in range(24)]
    return [[chance.choice(taste) for _ in range(8)] for taste in tastes], [
        [chance.choice(taste) for _ in range(5)] for taste in tastes
    ]
