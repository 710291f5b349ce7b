"""Rank agreement: two towers should order the batch alike, across modalities and within each.

        S = x y' / t,  X = x x' / t,  Y = y y' / t          cosines of all pairs of the batch, itself included
        M(A, B) = mean over rows of  - log P(order of row i of B | scores A_i)        Plackett-Luce, as in `list_mle`
        L = ( M(S, S') + M(S', S) + M(X, Y) + M(Y, X) ) / (32 n)

A term beside a contrast, whose temperature it takes. The first two ask that picture i orders captions as caption i orders pictures, the others
that pictures are neighbours of each other as their captions are. Each side is the other's teacher, and a teacher gives an order, no
gradient. It only says that the two agree, not on what: give it a weight that grows, or it holds on to the order of the start. All
n x n cosines are held at once. Equal scores cost log(n!) / (8 n).
Kin: `list_mle` follows a teacher that is given; `mv_dhel` and others look at positives alone.
Source: Zhang et al. 2024 (arXiv 2404.09387), with the divisors of the authors' code (16, the number of records, and the mean of both
ways). Their code shuffles before it sorts, so that ties are in no order; here they keep the batch's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.maths.plackett_luce import ranking_loss
from nearfar.maths.similarity import unit
from nearfar.maths.tables import side_by_side
from nearfar.objectives.composed import Objective, OnRows
from nearfar.objectives.scored import Scored, now

CARD = Card(
    name="rank_agreement",
    summary="two towers order the batch alike, across and within modalities (Plackett-Luce)",
    related=("list_mle", "relation_distillation"),
)

DIVISOR = 32


def rank_agreement(main: Objective | None = None, *, temperature: float = 0.07) -> OnRows:
    """The term on two streams "x" and "y" [n d] of the same records in one order.

    `main` is the objective beside which it stands; a recipe passes its own. The temperature is that of its first contrast, learned or
    not; `temperature` where there is none.
    Raises UsageError for a temperature that is not positive, and tables that do not fit.

    >>> import torch, nearfar as nf
    >>> x = torch.ones(4, 2)                                             # indifferent: log(4!) / 32
    >>> round(float(nf.contrast(nf.rank_agreement(), x, x)), 4)
    0.0993
    """
    if temperature <= 0:
        raise UsageError("the temperature must be positive", where="temperature", remedy="0.07 is usual")
    contrasts = [] if main is None else [term for term in main.terms.values() if isinstance(term, Scored)]
    spread = contrasts[0].temperature if contrasts else temperature

    def agreement(x: Rows, y: Rows) -> Float[Tensor, ""]:
        first, second = (unit(vectors) for vectors in side_by_side(x, y))
        t = now(spread)
        across, of_x, of_y = first @ second.T / t, first @ first.T / t, second @ second.T / t
        every = torch.ones_like(across, dtype=torch.bool)
        ranked = ((across, across.T), (across.T, across), (of_x, of_y), (of_y, of_x))
        total = torch.stack([ranking_loss(scores, teacher, every).mean() for scores, teacher in ranked]).sum()
        return total / (DIVISOR * len(first))

    return OnRows(agreement)
