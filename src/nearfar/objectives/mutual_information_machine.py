"""Mutual information machine (A-MIM): an autoencoder whose latent vectors are likely and certain - a term of single records.

        l_i = - log p(x_i | z_i) - 1/2 ( log q(z_i | x_i) + log P(z_i) )
        q(z | x) = N(mean(x), diag scale(x)^2)     P(z) = N(0, 1)     p(x | z) = N(decoder(z), s^2), one s for all numbers, learned

z_i is the draw that is contrasted, made by the head `gaussian_sample`; log densities are summed over dimensions. A variational
autoencoder subtracts log q where this adds it: certainty is rewarded, so scales fall to their bound instead of rising to the prior's.
x is what the encoder is given: standardised numbers, or pixels from 0 to 1. The decoder has one hidden layer.
Nothing here compares records; `mean_denominator` beside it makes latent vectors repel one another (cMIM).
Source: Livne et al. 2019 (arXiv 1910.03175), in the asymmetric form of a public implementation: the two densities of z are halved, the
one of x is not. The normal p with a learned scale, the bound -6 on its logarithm too, and the decoder are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.outputs import Outputs
from nearfar.maths.diagonal_normal import LEAST, log_density, mean_and_log_scale
from nearfar.maths.layers import checked_sizes, perceptron
from nearfar.objectives.composed import Local

CARD = Card(
    name="mutual_information_machine",
    summary="autoencoder with likely and certain latent vectors, a local term (A-MIM)",
    related=("gaussian_sample", "mean_denominator"),
)


class Decoder(nn.Module):
    """From latent vectors to inputs, and how far off it is."""

    def __init__(self, dimension: int, hidden: int, numbers: int) -> None:
        super().__init__()
        *below, self.last = perceptron(dimension, hidden, numbers, 2)
        self.below = nn.Sequential(*below)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, latent: Tensor) -> Tensor:
        """[n d] -> [n numbers]."""
        return self.last(self.below(latent))

    def loss(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Sum over the records, and their number."""
        latent = outputs.rows.vectors
        if outputs.features.shape != (len(latent), 2 * latent.shape[1]):
            raise UsageError(
                f"latent vectors {list(latent.shape)} from features {list(outputs.features.shape)}",
                where="mutual_information_machine",
                remedy="let the stream go through the head gaussian_sample",
            )
        mean, log_scale = mean_and_log_scale(outputs.features)
        likelihood = log_density(as_numbers(outputs.inputs), self(latent), self.log_scale.clamp_min(LEAST))
        of_latent = log_density(latent, mean, log_scale) + log_density(latent, 0.0, 0.0)
        return -(likelihood + 0.5 * of_latent).sum(), torch.tensor(len(latent))


def as_numbers(inputs: Tensor) -> Tensor:
    """Inputs [n ...] as a table of numbers [n m]; bytes as numbers from 0 to 1."""
    flat = inputs.flatten(1)
    return flat.float() / 255 if flat.dtype == torch.uint8 else flat


def mutual_information_machine(
    dimension: int = 64,
    *,
    hidden: int = 256,
    numbers: int | None = None,
    stream: str = "x",
    towers: Mapping[str, Any] | None = None,
) -> Local:
    """A local term of `stream`, whose records' loss is in nats.

    dimension  of latent vectors
    hidden     width of the decoder
    numbers    of one record's inputs; None: what the tower "encoder" of `towers` says, as `mlp` and encoders of images do

    Raises UsageError for sizes below one, and where nothing says how many numbers there are to decode.

    >>> import nearfar as nf
    >>> term = nf.mutual_information_machine(4, numbers=8)
    >>> term.stream
    'x'
    """
    found = numbers if numbers is not None else getattr(dict(towers or {}).get("encoder"), "numbers", None)
    if found is None:
        raise UsageError(
            "nothing says how many numbers a record has",
            where="mutual_information_machine.numbers",
            remedy="give it, or an encoder that reads as many of every record: mlp, convolutional, vision_transformer",
        )
    checked_sizes(dimension=dimension, hidden=hidden, numbers=found)
    return Local(Decoder(dimension, hidden, found).loss, stream)
