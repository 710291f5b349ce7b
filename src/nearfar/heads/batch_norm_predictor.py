"""Predictor with batch norm: on the online side alone, a bottleneck that foretells the other side's projection.

        p = W_2 relu(BN(W_1 z)) + b_2

Global: batch norm mixes records, so this head belongs to the objective and sees all rows of the global batch; its running averages
move in `update`, once a step, with the rows that it is given, that is, with projections. A projector and a predictor with batch norm
in one `GlobalLayers` move together. Kin: `predictor` has layer norm and is local; `batch_norm_projector` stands on both sides.
Source: Chen and He 2021 (SimSiam, arXiv 2011.10566): hidden a quarter of the dimension (512 of 2048), batch norm on the hidden layer
only: the defaults. Grill et al. 2020 (BYOL, arXiv 2006.07733) widen instead, 256 to 4096 to 256: `hidden=4096`.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.maths.batch_norm import BatchNorm, GlobalLayers
from nearfar.maths.layers import checked_sizes, perceptron

CARD = Card(
    name="batch_norm_predictor",
    summary="bottleneck on the online side that foretells the other projection (SimSiam, BYOL); global",
    related=("predictor", "batch_norm_projector"),
)


def batch_norm_predictor(
    dimension: int, *, hidden: int | None = None, out: int | None = None, layers: int = 2
) -> GlobalLayers:
    """A global head [r dimension] -> [r out] of `layers` linear layers with batch norm and ReLU between.

    hidden  None: a quarter of `dimension`, at least 1
    out     None: `dimension`, as what is foretold must have the length of what is compared with it

    Raises UsageError for sizes that are not positive; while training, for a batch of one row.

    >>> import torch, nearfar as nf
    >>> nf.batch_norm_predictor(16)(torch.randn(3, 16)).shape
    torch.Size([3, 16])
    """
    hidden = max(1, dimension // 4) if hidden is None else hidden
    out = dimension if out is None else out
    checked_sizes(dimension=dimension, hidden=hidden, out=out, layers=layers)
    return GlobalLayers(*perceptron(dimension, hidden, out, layers, norm=BatchNorm, bias=False))
