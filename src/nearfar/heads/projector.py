"""Projector: a small network between the encoder's vectors and those that are contrasted, thrown away after training.

        z = W_L relu( ... relu(W_1 h + b_1) ... ) + b_L

Local: row by row. The contrast makes vectors forget what the views change; with a projector it is the projector that forgets, and the
encoder's vectors keep more. Kin: `batch_norm_projector` normalises between its layers over the batch and is global; `linear` is one
matrix; `predictor` stands behind a projector, on one side only.
Source: Chen et al. 2020 (SimCLR, arXiv 2002.05709): one hidden layer as wide as the encoder's vectors, 128 dimensions out. The paper
writes no batch norm into the formula; their code has some. MoCo v2 (arXiv 2003.04297) has this head exactly.
"""

from __future__ import annotations

from torch import nn

from nearfar.core.card import Card
from nearfar.maths.layers import Unit, checked_sizes, perceptron

CARD = Card(
    name="projector",
    summary="small network between the encoder's vectors and those contrasted (SimCLR, MoCo v2); local",
    related=("batch_norm_projector", "linear", "predictor"),
)


def projector(
    dimension: int, *, hidden: int | None = None, out: int = 128, layers: int = 2, unit: bool = False
) -> nn.Module:
    """A local head [r dimension] -> [r out] of `layers` linear layers with ReLU between; `hidden` None: as wide as `dimension`.

    `unit` brings rows to length one, which the cosine does anyway: for similarities that take vectors as they are.

    Raises UsageError for sizes that are not positive.

    >>> import torch, nearfar as nf
    >>> head, vectors = nf.projector(16, out=4), torch.randn(3, 16)
    >>> head(vectors).shape, bool(torch.allclose(head(vectors)[:1], head(vectors[:1])))
    (torch.Size([3, 4]), True)
    """
    hidden = dimension if hidden is None else hidden
    checked_sizes(dimension=dimension, hidden=hidden, out=out, layers=layers)
    return nn.Sequential(*perceptron(dimension, hidden, out, layers), *([Unit()] if unit else []))
