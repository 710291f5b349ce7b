"""Pull of one class: squared distances of positives, averaged over those that are not zero yet.

        D = (1 - s) / 2        L = sum_ip pos_ip D_ip^2 / sum_ip pos_ip [D_ip^2 > 1e-6]

s is the cosine, so D lies between 0 and 1; leave the temperature at 1. What is counted are active pairs, over all rows: a row hands over its
sum and its count, which carries no gradient, and only the whole is divided, so that tiles and ranks change nothing. The more pairs have
come together, the harder the others are pulled.
Kin: `active_push` for negatives; `margin` has both, without the count; `alignment` sees one pair a record.
Source: Wilkie et al. 2025 (CLAN, IEEE CSR, pages 206-213), by the authors' code.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.active_pairs import distance, sum_and_count

CARD = Card(
    name="active_pull",
    summary="squared distances of positives, averaged over all pairs that are still apart",
    needs=("positive",),
    properties=("non_negative", "monotone", "symmetric"),
    related=("active_push", "margin", "alignment"),
)


@rule(CARD)
def active_pull(scores: Float[Tensor, "q k"], block: Block) -> tuple[Float[Tensor, " q"], Float[Tensor, " q"]]:
    """Cosines [q k] and their weights -> (sum [q], number of active pairs [q]).

    >>> import torch, nearfar as nf
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])            # two of three pairs are apart, at a distance of 1/2
    >>> float(nf.contrast(nf.active_pull, nf.rows(x, label=[0, 0, 0]), relation=nf.labelled()))
    0.25
    """
    return sum_and_count(distance(scores, block.pos).square(), block.pos)
