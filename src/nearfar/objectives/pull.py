"""Pull: minus the mean score of positives, whoever's they are. Nobody is pushed away.

        L = - sum_ip pos_ip s_ip / sum_ip pos_ip

A mean over pairs, not over rows: a row hands over its sum and its weights. By itself constant vectors are its optimum, so it stands beside
a term with negatives, to weigh alignment more, or for positives that were made (`hallucinated_positives`).
Kin: `alignment` is the distance of one pair a record; `active_pull` counts the pairs that are still apart; `info_nce` has negatives.
Source: Shah et al. 2023 (arXiv 2304.00387) and the authors' code, as a brief of it tells.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.weighted import weighted_sum

CARD = Card(
    name="pull",
    summary="minus the mean score of positives, for a term beside one with negatives",
    needs=("positive",),
    properties=("monotone", "symmetric"),
    related=("alignment", "active_pull", "hallucinated_positives", "info_nce"),
)


@rule(CARD)
def pull(scores: Float[Tensor, "q k"], block: Block) -> tuple[Float[Tensor, " q"], Float[Tensor, " q"]]:
    """Scores [q k] and their weights -> (minus the weighted sum [q], the weights [q]).

    >>> import torch, nearfar as nf
    >>> x = torch.eye(2)
    >>> round(float(nf.contrast(nf.pull, x, x, nf.paired(), temperature=0.5)), 4)
    -2.0
    """
    return -weighted_sum(scores, block.pos), block.pos.sum(1, dtype=scores.dtype)
