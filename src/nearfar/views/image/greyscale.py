"""Greyscale: colours taken away, in every fifth image.

        x <- 0.299 red + 0.587 green + 0.114 blue, in all three channels

The end of what `colour_jitter` does to saturation, and as common: what is learned must not hang on colour. An image of one channel
stays as it is.

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A), "color drop" with probability 0.2; BYOL (arXiv 2006.07733,
appendix B) gives the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.maths.colour import luma
from nearfar.maths.pictures import changed
from nearfar.views.shared.options import check_share

CARD = Card(
    name="greyscale",
    summary="colours taken away, in every fifth image",
    related=("colour_jitter",),
    reads=("image",),
)


def greyscale(*, probability: float = 0.2) -> Greyscale:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like, with as many channels.

    Errors: UsageError for what is no probability or no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    >>> nf.greyscale(probability=1.0)(red, Draws(0, 0, torch.arange(1))).flatten()
    tensor([0.2990, 0.2990, 0.2990])
    """
    return Greyscale(probability)


@dataclass(frozen=True)
class Greyscale:
    """See the file's text."""

    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.probability, CARD.name, "probability")

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(records, draws, CARD.name, self.probability, lambda some, _: _grey(some))


def _grey(images: Tensor) -> Tensor:
    return luma(images).expand_as(images) if images.shape[1] == 3 else images
