"""Normal distributions with a diagonal covariance: from an encoder's numbers to mean and log scale, and log densities."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from nearfar.core.errors import UsageError

LEAST = -6.0  # of a log scale: a term that rewards certainty would have it fall without end


def mean_and_log_scale(vectors: Float[Tensor, "n e"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """The first half of each vector is the mean, the second the logarithm of the standard deviation, -6 at least.

    Raises UsageError for vectors of an odd length.
    """
    if vectors.shape[-1] % 2:
        raise UsageError(
            f"{vectors.shape[-1]} numbers are no means and as many log scales",
            where="encoder.dimension",
            remedy="give the encoder an even dimension, twice that of the latent vectors",
        )
    mean, log_scale = vectors.chunk(2, -1)
    return mean, log_scale.clamp_min(LEAST)


def log_density(
    x: Float[Tensor, "n d"], mean: Float[Tensor, "n d"] | float, log_scale: Tensor | float
) -> Float[Tensor, " n"]:
    """log N(x; mean, exp(log_scale)^2), summed over the numbers of each row; a number stands for a table of it."""
    scale = log_scale.exp() if isinstance(log_scale, Tensor) else math.exp(log_scale)
    each = -0.5 * ((x - mean) / scale).square() - log_scale - 0.5 * math.log(2 * math.pi)
    return each.sum(1)
