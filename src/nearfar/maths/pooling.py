"""Pooling: from one vector a token to one vector a record, or all of them with their mask (late interaction).

        mean   sum over real tokens h_t / their number
        cls    the first real token
        last   the last real token (causal models, where only it has seen all others)
        tokens every token: Rows [n t d] with a mask, for late interaction (Khattab and Zaharia, 2020)

Only real tokens count, on whichever side the padding stands, so that a record's vector does not depend on how long its batch
mates are. A record without any token is the zero vector.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows

Pooling = Literal["mean", "cls", "last", "tokens"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last", "tokens")


def pooled(states: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"], pooling: str) -> Rows:
    """One row a record: vectors [n d]; for "tokens" [n t d] with the mask. States in bfloat16 or float16 give vectors in float32.

    Raises UsageError for an unknown pooling.
    """
    if states.dtype in (torch.bfloat16, torch.float16):
        states = states.float()
    if pooling == "tokens":
        # What stands where no token is must not matter, not even to code that forgets the mask.
        return Rows(states.masked_fill(~mask[..., None], 0), mask=mask)
    ways = {"mean": mean, "cls": first, "last": last}
    if pooling not in ways:
        raise UsageError(f"no pooling {pooling!r}", where="pooling", remedy=f"there are {', '.join(POOLINGS)}")
    return Rows(ways[pooling](states, mask))


def mean(states: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n d"]:
    """The mean of the real tokens.

    >>> import torch
    >>> from nearfar.maths.pooling import mean
    >>> mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    kept = states.masked_fill(~mask[..., None], 0)
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp_min(1).to(states.dtype)


def first(states: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n d"]:
    """The first real token: the place where BERT puts its summary."""
    return _at(states, mask, mask.int().argmax(1))


def last(states: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n d"]:
    """The last real token."""
    return _at(states, mask, mask.shape[1] - 1 - mask.flip(1).int().argmax(1))


def _at(states: Tensor, mask: Tensor, place: Tensor) -> Tensor:
    """[n d]: the state at one place of each record, zero where the record has no token."""
    # By shape and not len(): a traced graph keeps the one as a size that may change, and would fix the other.
    chosen = states[torch.arange(states.shape[0], device=states.device), place]
    return chosen.masked_fill(~mask.any(1, keepdim=True), 0)
