"""InfoNCE whose negatives count as one: their mean stands in the denominator, so that the loss hardly depends on their number.

        l_i = - mean_p s_ip  +  log( sum_p pos_ip exp(s_ip)  +  sum_n neg_in exp(s_in) / sum_n neg_in )

At collapse this is log 2 with any number of negatives; a row without negatives loses nothing. Against the row itself as its only
positive, of cosine 1, it is log(1 + mean_n exp((s_in - 1) / t)): nothing pulls, all others repel.
Differs from `info_nce` only in the mean over negatives, which a constant added to their scores could not give where rows have
different numbers of them. `decoupled` leaves the positive out of the denominator instead.
Source: the contrastive term of cMIM, Livne 2025 (arXiv 2509.21511); the paper itself was not seen, the formula is that of a later
public implementation that says it follows the author's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.weighted import log_sum_exp, weighted_mean

CARD = Card(
    name="mean_denominator",
    summary="InfoNCE with the mean over negatives in its denominator: at home in any batch size",
    needs=("positive",),
    properties=("shift_invariant", "non_negative"),
    related=("info_nce", "decoupled"),
)


@rule(CARD)
def mean_denominator(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """Scores [q k] (already divided by the temperature) and their weights -> loss [q] in nats.

    >>> import torch, nearfar as nf
    >>> x = torch.ones(8, 4)
    >>> round(float(nf.contrast(nf.mean_denominator, x, x, nf.paired())), 4)    # collapsed: log 2
    0.6931
    """
    number = block.neg.sum(1).to(scores.dtype)
    # A row without negatives keeps its minus infinity: the logarithm of no weight must not meet it.
    negatives = log_sum_exp(scores, block.neg) - torch.where(number > 0, number, 1).log()
    return torch.logaddexp(log_sum_exp(scores, block.pos), negatives) - weighted_mean(scores, block.pos)
