"""Swapped prediction (SwAV): one view predicts the cluster code of another; codes use all clusters equally.

        o_v = cos(z_v, prototypes)   [n K]
        q_s = Sinkhorn(o_s / epsilon), every row sums to 1, every prototype is used equally; without gradient
        L = mean over assigning views s of mean over views v != s of mean_i  - sum_k q_s,ik log softmax(o_v,i / tau)_k

No two records are compared; equal use is what forbids collapse: with equal vectors the codes are uniform and the loss is
at least log K. Codes are a function of the whole batch (and of past vectors, where the batch is smaller than K), so this
is no rule of a row. Large crops assign and predict, small ones only predict.
Source: Caron et al. 2020 (arXiv 2006.09882), equations 1 to 6; tau 0.1, epsilon 0.05 and three iterations are section 3's and their
code's. There the prototypes are brought to unit length after each step, here in the loss, with the gradient through it; they keep
them fixed for the first pass (`fixed`; 313 steps of 4,096 pictures in their code), and have 3,000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.draws import normal
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.maths.similarity import unit
from nearfar.maths.sinkhorn import sinkhorn
from nearfar.maths.tables import full, side_by_side
from nearfar.objectives.composed import OnRows

CARD = Card(
    name="swapped_prediction",
    summary="one view predicts another's cluster code; codes are balanced over prototypes by Sinkhorn",
    related=("prototypes", "byol", "info_nce"),
)


class OwnPrototypes(nn.Module):
    """Learned `vectors` [count dimension] of the objective itself, and how many steps they have seen."""

    steps: Tensor

    def __init__(self, count: int, dimension: int, fixed: int, seed: int) -> None:
        super().__init__()
        if count < 1 or dimension < 1 or fixed < 0:
            raise UsageError(
                f"{count} prototypes of {dimension} dimensions, fixed for {fixed} steps",
                where="swapped_prediction",
                remedy="ask for at least one of each, and no negative number of steps",
            )
        drawn = normal(seed, "prototypes", torch.arange(count)[:, None], torch.arange(dimension))
        self.vectors = nn.Parameter(unit(drawn).to(torch.get_default_dtype()))
        self.fixed = fixed
        self.register_buffer("steps", torch.tensor(0))

    def at_this_step(self) -> Tensor:
        """The vectors; without gradient while they are fixed."""
        return self.vectors.detach() if int(self.steps) < self.fixed else self.vectors

    @torch.no_grad()
    def update(self, *tables: Rows) -> None:
        """Once after each optimiser step."""
        self.steps += 1


def swapped_prediction(
    prototypes: Tensor | str | int = "prototypes",
    *,
    dimension: int | None = None,
    fixed: int = 0,
    seed: int = 0,
    assigning: tuple[str, ...] = ("x", "y"),
    predicting: tuple[str, ...] = (),
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    past: Mapping[str, Callable[[], Rows | None]] | None = None,
) -> OnRows:
    """The objective on views [n d] of the same records in one order.

    prototypes   [K d], a learned tensor, or the name of a stream of replicated rows (`nf.prototypes(K, d).rows()`)
    assigning    streams whose codes are targets; they predict one another as well
    predicting   further streams that only predict (small crops)
    past         by assigning stream, a function that gives past vectors [m d] of it, or None while there are none
                 (`nf.queue(m).rows`); they take part in balancing, and have no loss

    Raises UsageError when nothing is left to predict, for numbers that are not positive, a number of prototypes without a dimension,
    unknown streams in `past`, and tables that do not fit.

    >>> import torch, nearfar as nf
    >>> prototypes = torch.nn.Parameter(torch.eye(4))
    >>> x = torch.ones(6, 4)                                    # collapsed: log 4
    >>> round(nf.contrast(nf.swapped_prediction(prototypes), x, x).item(), 4)
    1.3863
    """
    views, remembered = (*assigning, *predicting), dict(past or {})
    if not assigning or len(views) < 2:
        raise UsageError(f"nothing to swap between {list(views)}", remedy="name two views, one assigning at least")
    if temperature <= 0 or epsilon <= 0 or iterations < 1:
        raise UsageError(
            f"temperature={temperature}, epsilon={epsilon}, iterations={iterations}", remedy="choose positive numbers"
        )
    if unknown := sorted(set(remembered) - set(assigning)):
        raise UsageError(f"past vectors of streams that assign nothing: {unknown}", remedy=f"use {list(assigning)}")
    if isinstance(prototypes, int) and dimension is None:
        raise UsageError(f"{prototypes} prototypes of no dimension", remedy="give dimension=, that of the vectors")
    own = OwnPrototypes(prototypes, dimension or 0, fixed, seed) if isinstance(prototypes, int) else None

    def loss(*tables: Rows) -> Float[Tensor, ""]:
        if own is not None:
            given = own.at_this_step()
        else:
            given = prototypes if isinstance(prototypes, Tensor) else tables[-1].vectors
        centres = unit(full(given))
        vectors = side_by_side(*tables[: len(views)])
        scores = [unit(v) @ centres.T for v in vectors]
        logs = [torch.log_softmax(s / temperature, 1) for s in scores]
        losses = []
        for s, name in enumerate(assigning):
            codes = balanced(scores[s].detach(), remembered.get(name), centres.detach())
            losses += [-(codes * log).sum(1).mean() for v, log in enumerate(logs) if v != s]
        return torch.stack(losses).mean()

    def balanced(scores: Tensor, memory: Callable[[], Rows | None] | None, centres: Tensor) -> Tensor:
        rows = memory() if memory is not None else None
        if rows is None:
            return sinkhorn(scores, epsilon, iterations)
        older = unit(full(rows.vectors.detach())).to(scores.dtype) @ centres.T
        return sinkhorn(torch.cat([older, scores]), epsilon, iterations)[len(older) :]

    streams = (*views, prototypes) if isinstance(prototypes, str) else views
    return OnRows(loss, streams, state=() if own is None else (own,))
