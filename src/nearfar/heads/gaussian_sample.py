"""Gaussian sample: the encoder's vector says a normal distribution, and what is contrasted is a draw from it.

        (mean, log_scale) = the two halves of h        z = mean + exp(log_scale) e,    e standard normal,    log_scale >= -6

Local: row by row, and so is its chance: e is a function of (seed, epoch, record, view), hence the same however a batch is cut.
Without chance (a plain call) it gives the mean. Kin: the other heads draw nothing; the transform `first_half` lets a trained model give
out the means alone.
Source: the reparametrisation of Kingma and Welling 2013 (arXiv 1312.6114); the bound -6 is that of a public implementation of cMIM
(arXiv 2509.21511), and ours in that it holds for the density too.
"""

from __future__ import annotations

from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.diagonal_normal import mean_and_log_scale
from nearfar.maths.layers import checked_sizes

CARD = Card(
    name="gaussian_sample",
    summary="a draw from the normal distribution that a vector's halves say; local, its chance the record's",
    related=("linear", "projector", "first_half", "mutual_information_machine"),
)


class GaussianSample(nn.Module):
    """See `gaussian_sample`."""

    draws_by_record = True  # the training hands over the chance of the records

    def forward(self, vectors: Tensor, draws: Draws | None = None) -> Tensor:
        """[n 2d] -> [n d]. Raises UsageError where a record has several vectors, which would share their chance."""
        mean, log_scale = mean_and_log_scale(vectors)
        if draws is None:
            return mean
        if len(draws) != len(vectors):
            raise UsageError(
                f"{len(vectors)} vectors of {len(draws)} records",
                where="gaussian_sample",
                remedy="take an encoder that gives one vector a record",
            )
        noise = draws.normal("gaussian_sample", mean.shape[1])
        return mean + log_scale.exp() * noise.to(mean.device, mean.dtype)


def gaussian_sample(dimension: int) -> nn.Module:
    """A local head [r dimension] -> [r dimension / 2]. Raises UsageError for a size that is odd or not positive.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> head, vectors = nf.gaussian_sample(4), torch.tensor([[1.0, 2.0, 0.0, -6.0]])
    >>> drawn = head(vectors, Draws(0, epoch=0, record=torch.tensor([7])))
    >>> head(vectors).tolist(), abs(float(drawn[0, 1]) - 2) < 0.02, abs(float(drawn[0, 0]) - 1) < 0.02
    ([[1.0, 2.0]], True, False)
    """
    checked_sizes(dimension=dimension)
    if dimension % 2:
        raise UsageError(
            f"dimension is {dimension}",
            where="encoder.dimension",
            remedy="give an even number: means and as many log scales",
        )
    return GaussianSample()
