"""Predictor: on the online side alone, a small network that foretells the other side's projection from one's own.

        p = W_2 relu(LN(W_1 z)) + b_2

Local: layer norm instead of the batch norm of the papers, so a row's prediction depends on that row. Whether methods without
negatives need batch norm was disputed; Richemond et al. found that with norms within a record BYOL reaches nearly the same.
Kin: `batch_norm_predictor` is the papers' own and global; `projector` stands on both sides.
Source: Grill et al. 2020 (BYOL, arXiv 2006.07733) for the predictor; Richemond et al. 2020 (arXiv 2010.10241) for doing without batch
statistics (group norm there); a hidden layer a quarter as wide is that of Chen and He 2021 (SimSiam, arXiv 2011.10566).
"""

from __future__ import annotations

from torch import nn

from nearfar.core.card import Card
from nearfar.maths.layers import checked_sizes, perceptron

CARD = Card(
    name="predictor",
    summary="bottleneck on the online side that foretells the other projection, with layer norm; local",
    related=("batch_norm_predictor", "projector"),
)


def predictor(dimension: int, *, hidden: int | None = None, out: int | None = None, layers: int = 2) -> nn.Module:
    """A local head [r dimension] -> [r out] of `layers` linear layers with layer norm and ReLU between.

    hidden  None: a quarter of `dimension`, at least 1
    out     None: `dimension`, as what is foretold must have the length of what is compared with it

    Raises UsageError for sizes that are not positive.

    >>> import torch, nearfar as nf
    >>> nf.predictor(16)(torch.randn(3, 16)).shape
    torch.Size([3, 16])
    """
    hidden = max(1, dimension // 4) if hidden is None else hidden
    out = dimension if out is None else out
    checked_sizes(dimension=dimension, hidden=hidden, out=out, layers=layers)
    return nn.Sequential(*perceptron(dimension, hidden, out, layers, norm=nn.LayerNorm, bias=False))
