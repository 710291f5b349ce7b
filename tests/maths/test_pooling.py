"""Pooling counts real tokens and nothing else, wherever the padding stands and whatever is in it."""

from __future__ import annotations

import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.maths.pooling import POOLINGS, first, last, mean, pooled

STATES = torch.arange(24.0).reshape(2, 4, 3)
MASK = torch.tensor([[True, True, True, False], [False, True, True, True]])  # padding behind, and before


def test_known_answers() -> None:
    assert torch.equal(mean(STATES, MASK), torch.stack([STATES[0, :3].mean(0), STATES[1, 1:].mean(0)]))
    assert torch.equal(first(STATES, MASK), torch.stack([STATES[0, 0], STATES[1, 1]]))
    assert torch.equal(last(STATES, MASK), torch.stack([STATES[0, 2], STATES[1, 3]]))
    assert not torch.equal(mean(STATES, MASK), STATES.mean(1))  # known bad: padding counted
    assert not torch.equal(first(STATES, MASK), STATES[:, 0])  # known bad: padding before
    assert not torch.equal(last(STATES, MASK), STATES[:, -1])  # known bad: padding behind


@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_stands_in_padding_is_nobodys(pooling: str) -> None:
    filled = STATES.masked_fill(~MASK[..., None], torch.nan)
    filled.requires_grad_()
    made = pooled(filled, MASK, pooling)
    assert torch.equal(made.vectors, pooled(STATES, MASK, pooling).vectors)
    made.vectors.sum().backward()
    assert filled.grad is not None
    assert torch.isfinite(filled.grad).all()
    assert torch.equal(filled.grad[~MASK], torch.zeros(2, 3))


def test_tokens_keep_their_mask() -> None:
    made = pooled(STATES, MASK, "tokens")
    assert made.vectors.shape == (2, 4, 3)
    assert made.mask is not None
    assert torch.equal(made.mask, MASK)
    assert torch.equal(made.vectors[MASK], STATES[MASK])
    assert torch.equal(made.vectors[~MASK], torch.zeros(2, 3))
    assert pooled(STATES, MASK, "mean").mask is None


def test_a_record_without_tokens_is_zero() -> None:
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    for pooling in ("mean", "cls", "last"):
        assert torch.equal(pooled(STATES, nothing, pooling).vectors, torch.zeros(2, 3))


def test_an_unknown_pooling_lists_the_known() -> None:
    with pytest.raises(UsageError, match="mean, cls, last, tokens"):
        pooled(STATES, MASK, "max")
