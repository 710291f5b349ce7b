"""Decoupled contrastive learning: InfoNCE without the positives in the denominator.

        l_i = - sum_p w_ip s_ip / sum_p w_ip  +  log sum_k neg_ik exp(s_ik)

Differs from `info_nce` only in the denominator: the factor 1 - p(positive), which starves the gradient of small batches,
is gone. The loss can be negative. Its weighted form (DCLW) is this rule split into two terms, of which the first has
query weights.
Source: Yeh et al. 2022 (arXiv 2110.06848), equation 5.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.weighted import log_sum_exp, weighted_mean

CARD = Card(
    name="decoupled",
    summary="InfoNCE without the positive in its denominator, for small batches",
    needs=("positive", "negative"),
    properties=("shift_invariant", "monotone"),
    related=("info_nce",),
)


@rule(CARD)
def decoupled(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """Scores [q k] (already divided by the temperature) and their weights -> loss [q] in nats.

    >>> import torch, nearfar as nf
    >>> x = torch.ones(8, 4)
    >>> round(float(nf.contrast(nf.decoupled, x, x, nf.paired())), 4)    # collapsed: log 7
    1.9459
    """
    return log_sum_exp(scores, block.neg) - weighted_mean(scores, block.pos)
