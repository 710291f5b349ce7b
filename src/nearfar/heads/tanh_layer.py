"""Tanh layer: one linear layer as wide as the vectors, and tanh - what BERT has behind its first token, here for training alone.

        z = tanh(W h + b)

Local: row by row. Kin: `linear` has no bend; `projector` has a hidden layer and any width.
Source: Devlin et al. 2018 (BERT, arXiv 1810.04805), the layer of their next-sentence task; Gao et al. 2021 (SimCSE, arXiv 2104.08821)
contrast behind a fresh one, and without labels leave it out of the published encoder. The weights' start is torch's, whose spread at
768 numbers is BERT's 0.02.
"""

from __future__ import annotations

from torch import nn

from nearfar.core.card import Card
from nearfar.maths.layers import checked_sizes

CARD = Card(
    name="tanh_layer",
    summary="one linear layer and tanh behind the encoder, as BERT has; local",
    related=("linear", "projector"),
)


def tanh_layer(dimension: int, *, out: int | None = None) -> nn.Module:
    """A local head [r dimension] -> [r out], each number between -1 and 1; `out` None: as wide as `dimension`.

    Raises UsageError for sizes that are not positive.

    >>> import torch, nearfar as nf
    >>> head, vectors = nf.tanh_layer(16), 100 * torch.randn(3, 16)
    >>> head(vectors).shape, bool(head(vectors).abs().max() <= 1)
    (torch.Size([3, 16]), True)
    """
    out = dimension if out is None else out
    checked_sizes(dimension=dimension, out=out)
    return nn.Sequential(nn.Linear(dimension, out), nn.Tanh())
