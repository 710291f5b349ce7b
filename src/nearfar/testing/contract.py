"""`contract(rule)`: what every rule promises, checked. Our rules and anyone's own rule take the same examination.

    from nearfar.testing.contract import contract
    contract(my_rule)                           # finite, differentiable, its stated properties hold
    contract(my_rule, reference=my_loops)       # and equal to naive loops in float64

It raises ContractBroken, which names the rule, the relation and what failed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.rule import Rule, applies, card_of

Reference = Callable[..., float]
PROPERTIES: tuple[str, ...] = ("shift_invariant", "non_negative", "monotone", "symmetric")


class ContractBroken(AssertionError):
    """A rule does not keep a promise."""


def blocks(q: int = 6, k: int = 9) -> Iterator[tuple[str, Block]]:
    """Kinds of weights that relations make: one positive, several, graded, rows that lack something."""
    draws = torch.Generator().manual_seed(11)
    eye = torch.eye(q, k, dtype=torch.bool)
    yield "one positive", Block(eye, ~eye)
    label, other = torch.arange(q) % 2, torch.arange(k) % 2
    alike = label[:, None] == other[None]
    yield "labels", Block(alike & ~eye, ~alike)
    weight = torch.rand(q, k, generator=draws, dtype=torch.float64)
    yield "graded", Block(torch.where(eye, weight + 0.5, weight * 0.1 * alike), torch.where(alike, 0.0, weight))
    holes = torch.rand(q, k, generator=draws) < 0.4
    yield "left out", Block(eye, ~eye & ~holes)
    lacking = ~eye
    lacking[1] = False
    some = eye.clone()
    some[0] = False
    yield "rows that lack", Block(some, lacking)


def with_channels(block: Block, names: Sequence[str]) -> Block:
    """The block with a random matrix, between 0.5 and 1.5, for every channel that a rule reads."""
    draws = torch.Generator().manual_seed(23)
    made = {n: torch.rand(block.pos.shape, generator=draws, dtype=torch.float64) + 0.5 for n in names}
    return Block(block.pos, block.neg, made)


def contract(rule: Rule, reference: Reference | None = None) -> dict[str, bool]:
    """Examine a rule; return which of the known properties hold on all examples.

    `reference(scores, pos, neg, **channels) -> loss` computes one row with plain Python numbers (channels are those that the
    card names, a list each); of a rule that leaves pairs out, (loss, count). Raises ContractBroken when the rule
    differs from it, is not finite at scores of 1e4, has a wrong gradient, couples rows, lets a pair of weight zero
    matter, or lacks a property that its card states.
    """
    name = getattr(card_of(rule), "name", getattr(rule, "__name__", "rule"))
    held: dict[str, bool] = dict.fromkeys(PROPERTIES, True)
    card = card_of(rule)
    for kind, block in blocks():
        block = with_channels(block, card.channels if card else ())
        valid = applies(rule, block)
        block = block.map(lambda m, valid=valid: m[valid])
        if not len(block.pos):
            continue
        where = f"rule {name!r}, {kind}"
        scores = torch.randn(block.pos.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 2
        _equals_reference(rule, reference, scores, block, where)
        _differentiable(rule, scores, block, where)
        _finite(rule, scores, block, where)
        _row_by_row(rule, scores, block, where)
        _blind_to_absent(rule, scores, block, where)
        for prop in PROPERTIES:
            held[prop] = held[prop] and PROBES[prop](rule, scores, block)
    for prop in card.properties if card else ():
        if prop not in held:
            raise ContractBroken(f"rule {name!r} states an unknown property {prop!r}; known are {list(PROPERTIES)}")
        if not held[prop]:
            raise ContractBroken(f"rule {name!r} states {prop!r}, which fails")
    return held


def losses(rule: Rule, scores: Tensor, block: Block) -> Tensor:
    """The rule's losses alone."""
    made = rule(scores, block)
    return made[0] if isinstance(made, tuple) else made


def _equals_reference(rule: Rule, reference: Reference | None, scores: Tensor, block: Block, where: str) -> None:
    if reference is None:
        return
    made = rule(scores, block)
    got, counts = made if isinstance(made, tuple) else (made, torch.ones(len(scores)))
    for i in range(len(scores)):
        channels = {name: matrix[i].tolist() for name, matrix in block.channels.items()}
        found = reference(
            scores[i].tolist(), block.pos[i].double().tolist(), block.neg[i].double().tolist(), **channels
        )
        want, count = found if isinstance(found, tuple) else (found, 1.0)
        if abs(float(got[i]) - want) > 1e-10:
            raise ContractBroken(f"{where}: row {i} is {float(got[i])!r}, naive loops give {want!r}")
        if abs(float(counts[i]) - count) > 1e-10:
            raise ContractBroken(f"{where}: row {i} counts {float(counts[i])!r}, naive loops {count!r}")


def _differentiable(rule: Rule, scores: Tensor, block: Block, where: str) -> None:
    leaf = scores.clone().requires_grad_()
    try:
        torch.autograd.gradcheck(lambda s: losses(rule, s, block), (leaf,))
    except RuntimeError as error:
        raise ContractBroken(f"{where}: the gradient is wrong: {error}") from error


def _finite(rule: Rule, scores: Tensor, block: Block, where: str) -> None:
    for dtype, signs in itertools.product((torch.float32, torch.float64), (1.0, -1.0)):
        leaf = (signs * 1e4 * torch.sign(scores)).to(dtype).requires_grad_()
        loss = losses(rule, leaf, block)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        if not (torch.isfinite(loss).all() and torch.isfinite(gradient).all()):
            raise ContractBroken(f"{where}: not finite at scores of 1e4 in {dtype}")


def _row_by_row(rule: Rule, scores: Tensor, block: Block, where: str) -> None:
    alone = torch.cat(
        [losses(rule, scores[i : i + 1], block.map(lambda m, i=i: m[i : i + 1])) for i in range(len(scores))]
    )
    if not torch.allclose(alone, losses(rule, scores, block), atol=1e-12, rtol=0):
        raise ContractBroken(f"{where}: a row's loss depends on other rows")


def _blind_to_absent(rule: Rule, scores: Tensor, block: Block, where: str) -> None:
    absent = (block.pos == 0) & (block.neg == 0)
    for value in (1e4, -1e4, torch.inf, -torch.inf):
        leaf = scores.masked_fill(absent, value).requires_grad_()
        moved = losses(rule, leaf, block)
        (gradient,) = torch.autograd.grad(moved.sum(), leaf)
        if not torch.allclose(moved, losses(rule, scores, block), atol=1e-12, rtol=0) or not gradient.isfinite().all():
            raise ContractBroken(f"{where}: a pair of weight zero matters when its score is {value}")


def _shift_invariant(rule: Rule, scores: Tensor, block: Block) -> bool:
    still = losses(rule, scores, block)
    return all(torch.allclose(still, losses(rule, scores + by, block), atol=1e-9, rtol=0) for by in (3.7, -3.7))


def _non_negative(rule: Rule, scores: Tensor, block: Block) -> bool:
    if block.pos.dtype != torch.bool:
        return True
    favourable = scores + 50.0 * block.pos
    return bool((losses(rule, scores, block) >= -1e-12).all() and (losses(rule, favourable, block) >= -1e-12).all())


def _monotone(rule: Rule, scores: Tensor, block: Block) -> bool:
    for spread, lift in ((1.0, 0.0), (5.0, 0.0), (1.0, 1.0)):
        leaf = (spread * scores + lift * (block.pos > 0)).requires_grad_()
        (gradient,) = torch.autograd.grad(losses(rule, leaf, block).sum(), leaf)
        if not bool((gradient[(block.pos > 0) & (block.neg == 0)] <= 1e-12).all()):
            return False
    return True


def _symmetric(rule: Rule, scores: Tensor, block: Block) -> bool:
    size = min(scores.shape)
    square, part = scores[:size, :size], block.map(lambda m: m[:size, :size])
    turned = part.map(lambda m: m.T)
    if not bool(applies(rule, part).all() and applies(rule, turned).all()):
        return True
    return torch.allclose(losses(rule, square, part).sum(), losses(rule, square.T, turned).sum(), atol=1e-9)


PROBES = {
    "shift_invariant": _shift_invariant,
    "non_negative": _non_negative,
    "monotone": _monotone,
    "symmetric": _symmetric,
}
