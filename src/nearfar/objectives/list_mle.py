"""ListMLE: the likelihood of a teacher's ranking of a row under the Plackett-Luce model of its scores.

        keys in descending order of the teacher's scores: (1), (2), ..., (K)
        l_i = sum_j [ log sum_{m >= j} exp(s_i(m)) - s_i(j) ]

The teacher gives an order and nothing else, so it has no gradient and no temperature. Ties keep the order of the keys
(a shuffle would draw by position). Weights only say which pairs exist. A sum over the list: equal scores cost log K!,
so a term of many keys wants a weight; RankCLIP divides by the number of keys and by 16.
Kin: `relation_distillation` also follows by how much the teacher prefers one key to another; in `rank_agreement` two towers are each
other's teachers.
Source: Xia et al. 2008 (doi 10.1145/1390156.1390306); between modalities: Zhang et al. 2024 (arXiv 2404.09387), whose
code adds 1e-10 inside the logarithm, which inflates the loss at large scores. Here: a running log-sum-exp.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block, present
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.plackett_luce import ranking_loss
from nearfar.maths.weighted import channel

CARD = Card(
    name="list_mle",
    summary="likelihood of a teacher's ranking of all keys of a row (Plackett-Luce)",
    properties=("shift_invariant", "non_negative"),
    channels=("teacher",),
    related=("relation_distillation", "rank_agreement"),
)


@rule(CARD)
def list_mle(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """Scores [q k] and the teacher's, channel "teacher" [q k] -> loss [q] in nats, summed over the list.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.ones(4, 2), teacher=torch.eye(4))        # the student is indifferent: log 4!
    >>> round(float(nf.contrast(nf.list_mle, x, relation=nf.paired(), similarity=nf.with_teacher(nf.cosine))), 4)
    3.1781
    """
    teacher = channel(block, "teacher", "similarity=nf.with_teacher(...)")
    return ranking_loss(scores, teacher, present(block.pos) | present(block.neg))
