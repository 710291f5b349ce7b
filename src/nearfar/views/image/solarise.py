"""Solarise: what is bright is turned into its negative, in every fifth image.

        x <- x where x < threshold, else 1 - x

Colours and shading become strange and shapes stay.

Source: BYOL (Grill et al. 2020, arXiv 2006.07733, appendix B): threshold 0.5, with probability 0 in the first view and 0.2 in the
second; DINO (Caron et al. 2021, arXiv 2104.14294) the same. Give it to one of two views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.maths.pictures import changed
from nearfar.views.shared.options import check_share

CARD = Card(
    name="solarise",
    summary="what is bright is turned into its negative, in every fifth image",
    related=("colour_jitter", "gaussian_blur"),
    reads=("image",),
)


def solarise(*, threshold: float = 0.5, probability: float = 0.2) -> Solarise:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like; those not chosen are left as they are.

    Errors: UsageError for a threshold or probability outside 0 to 1, and for what is no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> image = torch.tensor([0.25, 0.5, 1.0]).view(1, 1, 1, 3)
    >>> nf.solarise(probability=1.0)(image, Draws(0, 0, torch.arange(1))).flatten().tolist()
    [0.25, 0.5, 0.0]
    """
    return Solarise(threshold, probability)


@dataclass(frozen=True)
class Solarise:
    """See the file's text."""

    threshold: float
    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.probability, CARD.name, "probability")
        check_share(self.threshold, CARD.name, "threshold")

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(
            records, draws, CARD.name, self.probability, lambda x, _: torch.where(x < self.threshold, x, 1 - x)
        )
