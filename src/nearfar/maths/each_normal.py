"""Normal draws, one a sample of records of unequal length: what noise is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from nearfar.core.draws import Draws


def each_normal(draws: Draws, purpose: str, sizes: Sequence[int]) -> list[Tensor]:
    """n tensors of float64 draws of mean 0 and variance 1, the i-th of size sizes[i]; more samples change no earlier draw.

    >>> import torch
    >>> draws = Draws(0, epoch=0, record=torch.tensor([4, 7]))
    >>> [len(part) for part in each_normal(draws, "noise", [3, 5])]
    [3, 5]
    """
    radii, angles = draws.each(f"{purpose}, radius", sizes), draws.each(f"{purpose}, angle", sizes)
    return [(-2 * r.log()).sqrt() * (2 * math.pi * a).cos() for r, a in zip(radii, angles, strict=True)]
