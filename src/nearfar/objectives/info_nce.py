"""InfoNCE: the log-probability of the positive among all that compete with it, at the same time N-way classification.

        l_i = - sum_p w_ip s_ip / sum_p w_ip  +  log sum_k (pos_ik + neg_ik) exp(s_ik)

With one positive a row this is cross-entropy with the positive as the class; with many, each positive stands in the
numerator in turn and all stay in the denominator (the mean outside the log, as in supervised contrastive learning).
Chance level, all scores equal, is the log of the number of keys. Kin: `decoupled` leaves the positives out of the
denominator; `sigmoid` asks about every pair by itself.
Source: van den Oord et al. 2018 (arXiv 1807.03748); many positives: Khosla et al. 2020 (arXiv 2004.11362), L_out.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean

CARD = Card(
    name="info_nce",
    summary="softmax over all keys of a row; the positive is the right class",
    needs=("positive",),
    properties=("shift_invariant", "non_negative"),
    related=("decoupled", "sigmoid"),
)


@rule(CARD)
def info_nce(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """Scores [q k] (already divided by the temperature) and their weights -> loss [q] in nats.

    >>> import torch, nearfar as nf
    >>> x = torch.ones(8, 4)                                  # collapsed: every score is equal
    >>> round(float(nf.contrast(nf.info_nce, x, x, nf.paired())), 4)    # log 8, chance level
    2.0794
    """
    return log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)
