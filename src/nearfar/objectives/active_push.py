"""Push from what is not of the class: squared hinges of negatives, averaged over those within the margin.

        D = (1 - s) / 2        h = max(0, margin - D)^2        L = sum_in neg_in h_in / sum_in neg_in [h_in > 1e-6]

s is the cosine, so D lies between 0 and 1; leave the temperature at 1. A margin of 0.6 asks for a cosine below -0.2. Rows hand over
sum and count, as in `active_pull`.
Kin: `active_pull` for positives; `margin` has both, without the count; `energy_hinge` sees the hardest negative alone.
Source: Wilkie et al. 2025 (CLAN, IEEE CSR, pages 206-213), by the authors' code; margin 0.6 is that of their training script.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.rule import rule
from nearfar.maths.active_pairs import distance, sum_and_count

CARD = Card(
    name="active_push",
    summary="squared hinges of negatives, averaged over all pairs within a margin",
    needs=("negative",),
    properties=("non_negative", "monotone", "symmetric"),
    related=("active_pull", "margin", "energy_hinge"),
)


@rule(CARD)
def active_push(
    scores: Float[Tensor, "q k"], block: Block, *, margin: float = 0.6
) -> tuple[Float[Tensor, " q"], Float[Tensor, " q"]]:
    """Cosines [q k] and their weights -> (sum [q], number of active pairs [q]).

    >>> import torch, nearfar as nf
    >>> x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0], [0.0, 1.0]])    # one far enough, one at a distance of 1/2
    >>> loss = nf.contrast(nf.active_push, nf.rows(x, view=[0]), nf.rows(y, view=[1, 1]), nf.same_view())
    >>> round(float(loss), 4)
    0.01
    """
    return sum_and_count((margin - distance(scores, block.neg)).clamp_min(0).square(), block.neg)
