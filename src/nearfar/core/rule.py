"""`rule`: marks a function (scores [q k], Block) -> loss [q] as a contrastive rule and ties its card to it.

A rule sees rows of scores and their weights, nothing else: no ranks, chunks, devices, labels or indices. That is why
every way of running it can give the same gradient. Any plain function works too; the mark only adds its `needs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card

Rule = Callable[..., Tensor | tuple[Tensor, Tensor]]
F = TypeVar("F", bound=Callable[..., Any])


def rule(card: Card) -> Callable[[F], F]:
    """Tie a rule to its card, whose `needs` say which rows it applies to.

    Rows that lack what the rule needs never reach it: they have loss 0 and count 0.

    >>> import torch, nearfar as nf
    >>> @nf.rule(nf.Card(name="hinge", summary="the best negative at least 0.2 below the positive", needs=("positive", "negative")))
    ... def hinge(scores, block):
    ...     best = scores.masked_fill(~block.neg, -torch.inf).amax(1)
    ...     return (0.2 + best - (scores * block.pos).sum(1)).clamp_min(0)
    >>> x = torch.eye(3)
    >>> float(nf.contrast(hinge, x, x, nf.paired()))
    0.0
    """

    def tie(function: F) -> F:
        function.card = card  # type: ignore[attr-defined]
        return function

    return tie


def card_of(function: Any) -> Card | None:
    """The card tied to a rule, also through functools.partial."""
    return getattr(function, "card", None) or getattr(getattr(function, "func", None), "card", None)


def applies(function: Rule, block: Block) -> Tensor:
    """[q] of bool: the rows that have what the rule needs (without a card: the rows that have any pair)."""
    card = card_of(function)
    needs = card.needs if card is not None else ()
    if "positive" in needs:
        return block.has_positive & block.has_negative if "negative" in needs else block.has_positive
    return block.has_negative if "negative" in needs else block.has_positive | block.has_negative
