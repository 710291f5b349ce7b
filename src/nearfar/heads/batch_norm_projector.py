"""Projector with batch norm: linear, batch norm, ReLU, as often as wanted, and a linear layer.

        z = W_L relu(BN( ... relu(BN(W_1 h)) ... )) + b_L

Global: batch norm mixes records, so this head belongs to the objective and sees all rows of the global batch (`head=` of a term); a
row's output depends on its batch mates, which is said to keep BYOL from collapsing. Its running averages move in `update`, once a
step. The hidden layers have no bias: batch norm would take it away again.
Kin: `projector` without batch norm is local; `batch_norm_predictor` stands behind this one on the online side.
Source: Grill et al. 2020 (BYOL, arXiv 2006.07733): 2 layers, hidden 4096, out 256: the defaults. Barlow Twins (arXiv 2103.03230) and
VICReg (arXiv 2105.04906) have 3 layers, hidden 8192, out 8192: `layers=3, hidden=8192, out=8192`; their last layer's lack of a bias
makes no difference, since both subtract the mean, and neither does BYOL's bias before a batch norm.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.maths.batch_norm import BatchNorm, GlobalLayers
from nearfar.maths.layers import checked_sizes, perceptron

CARD = Card(
    name="batch_norm_projector",
    summary="projector with batch norm between its layers (BYOL, Barlow Twins, VICReg); global",
    related=("projector", "batch_norm_predictor"),
)


def batch_norm_projector(dimension: int, *, hidden: int = 4096, out: int = 256, layers: int = 2) -> GlobalLayers:
    """A global head [r dimension] -> [r out] of `layers` linear layers with batch norm and ReLU between.

    Raises UsageError for sizes that are not positive; while training, for a batch of one row.

    >>> import torch, nearfar as nf
    >>> head, vectors = nf.batch_norm_projector(16, hidden=32, out=4), torch.randn(6, 16)
    >>> head(vectors).shape, bool(torch.allclose(head(vectors)[:3], head(vectors[:3])))
    (torch.Size([6, 4]), False)
    """
    checked_sizes(dimension=dimension, hidden=hidden, out=out, layers=layers)
    return GlobalLayers(*perceptron(dimension, hidden, out, layers, norm=BatchNorm, bias=False))
