"""Logit matching: a row's scores stay what a teacher's were, by squared difference.

        l_i = sum_k w_ik (s_ik - t_ik)^2 / sum_k w_ik          w = pos + neg

The teacher's scores t are given and have no gradient. Unlike a divergence of two softmaxes it also keeps what is common to all scores
of a row, and says as much about keys that a softmax would give no share.
Kin: `relation_distillation` compares softmaxes, `list_mle` the order.
Source: Buzzega et al. 2020 (arXiv 2004.07211), dark experience replay, as a mean over all scores; weighed by how often each class
occurs in the batch: Lin et al. 2023 (arXiv 2309.15038), HPCR.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.weighted import channel, either, weighted_mean

CARD = Card(
    name="logit_matching",
    summary="scores stay what a teacher's were, by mean squared difference over the keys of a row",
    properties=("non_negative",),
    channels=("teacher",),
    related=("relation_distillation", "list_mle"),
)


@rule(CARD)
def logit_matching(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """Scores [q k] (divided by the temperature) and the teacher's, channel "teacher" [q k] -> loss [q].

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.ones(4, 2), teacher=torch.eye(4))        # the student says 1 everywhere, the teacher on the diagonal
    >>> similarity = nf.with_teacher(nf.cosine)
    >>> round(float(nf.contrast(nf.logit_matching, x, relation=nf.paired(), similarity=similarity)), 4)
    0.75
    """
    teacher = channel(block, "teacher", "similarity=nf.with_teacher(...)").detach().to(scores.dtype)
    exists = either(block.pos, block.neg)
    apart = (scores - teacher).masked_fill(exists == 0, 0)
    return weighted_mean(apart.square(), exists)
