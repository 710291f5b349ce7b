"""Linear head: one matrix, from a tower's vectors to the space where towers meet.

        z = W h  (+ b)

Local: row by row. What CLIP has on each of its towers, whose vectors differ in length, instead of a projector of two layers.
Kin: `projector` has a layer between; it is usually thrown away after training, whereas a linear head between two modalities stays.
Source: Radford et al. 2021 (CLIP, arXiv 2103.00020): linear projections, without bias in their code, to 512 dimensions in their
smallest model.
"""

from __future__ import annotations

from torch import nn

from nearfar.core.card import Card
from nearfar.maths.layers import checked_sizes

CARD = Card(
    name="linear",
    summary="one matrix to the space where towers meet; local",
    related=("projector",),
)


def linear(dimension: int, *, out: int = 512, bias: bool = False) -> nn.Module:
    """A local head [r dimension] -> [r out]. Raises UsageError for sizes that are not positive.

    >>> import torch, nearfar as nf
    >>> nf.linear(8, out=4)(torch.zeros(3, 8)).tolist()[0]
    [0.0, 0.0, 0.0, 0.0]
    """
    checked_sizes(dimension=dimension, out=out)
    return nn.Linear(dimension, out, bias=bias)
