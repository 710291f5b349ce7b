"""Group norm of sequences of unequal length: what is padding neither counts nor gets a value.

        y = (x - mean) / sqrt(variance + epsilon) * weight + bias,    over the channels of a group and the real steps of one record

Without padding it is torch's `GroupNorm`. Torch's own would take the zeros of the padding for data, and a record's vector would depend
on the longest of its batch.
Source: Wu and He 2018 (arXiv 1803.08494).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MaskedGroupNorm(nn.Module):
    """Group norm of [n c t] under a mask [n 1 t]; zero where the mask is.

    >>> import torch
    >>> norm, x = MaskedGroupNorm(1, 2), torch.tensor([[[1.0, 3.0, 9.0], [1.0, 3.0, 9.0]]])
    >>> norm(x, torch.tensor([[[True, True, False]]])).detach().round(decimals=2).tolist()
    [[[-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]]
    """

    def __init__(self, groups: int, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, states: Float[Tensor, "n c t"], mask: Bool[Tensor, "n 1 t"]) -> Float[Tensor, "n c t"]:
        """The states normalised, record by record; in float32 at least, as sums of many steps lose too much below."""
        exact = states.to(torch.promote_types(states.dtype, torch.float32))
        grouped, real = exact.unflatten(1, (self.groups, -1)), mask[:, None]
        count = (real.sum((2, 3), keepdim=True) * grouped.shape[2]).clamp_min(1)
        mean = grouped.masked_fill(~real, 0).sum((2, 3), keepdim=True) / count
        centred = (grouped - mean).masked_fill(~real, 0)
        variance = centred.square().sum((2, 3), keepdim=True) / count
        normalised = (centred * (variance + self.epsilon).rsqrt()).flatten(1, 2)
        return (normalised * self.weight[:, None] + self.bias[:, None]).masked_fill(~mask, 0)
