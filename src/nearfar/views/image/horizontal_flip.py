"""Horizontal flip: left and right exchanged in every second image.

Not for pictures in which left and right mean something: digits, text, road signs, hearts.

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A) and all that came after it, with probability 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.maths.pictures import changed
from nearfar.views.shared.options import check_share

CARD = Card(
    name="horizontal_flip",
    summary="left and right exchanged in every second image",
    related=("rotation", "random_resized_crop"),
    reads=("image",),
)


def horizontal_flip(*, probability: float = 0.5) -> HorizontalFlip:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like; those not flipped are left as they are.

    Errors: UsageError for what is no probability or no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> image = torch.tensor([[0.1, 0.9]]).expand(4, 1, 1, 2)
    >>> nf.horizontal_flip(probability=1.0)(image, Draws(0, 0, torch.arange(4)))[0].flatten()
    tensor([0.9000, 0.1000])
    """
    return HorizontalFlip(probability)


@dataclass(frozen=True)
class HorizontalFlip:
    """See the file's text."""

    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.probability, CARD.name, "probability")

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(records, draws, CARD.name, self.probability, lambda some, _: some.flip(3))
