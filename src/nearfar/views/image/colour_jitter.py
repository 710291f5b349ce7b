"""Colour jitter: brightness, contrast, saturation and hue changed by random amounts, in random order.

        brightness   x <- f x                              f uniform in [1 - 0.8 s, 1 + 0.8 s], at least 0
        contrast     x <- f x + (1 - f) mean(luma(x))      f likewise; the mean is over the image
        saturation   x <- f x + (1 - f) luma(x)            f likewise
        hue          turned by a share of the circle       uniform in [- 0.2 s, 0.2 s]

Each result is cut to 0 to 1. s is the strength of all four. With `random_resized_crop` the pair that SimCLR found to matter: without
it, crops of one image are told by their colours alone. An image of one channel has neither saturation nor hue, which are left out.

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A): probability 0.8, s = 1 for ImageNet and 0.5 for CIFAR-10. SwAV (arXiv
2006.09882) does the same. BYOL (arXiv 2006.07733, appendix B) and DINO (Caron et al. 2021, arXiv 2104.14294) have
brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1. BYOL's text calls the changes offsets; as in SimCLR's code they are factors
here. The random order is BYOL's, and that of SimCLR's implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.colour import from_hsv, luma, to_hsv
from nearfar.maths.pictures import between, changed
from nearfar.views.shared.options import check_share

CARD = Card(
    name="colour_jitter",
    summary="brightness, contrast, saturation and hue changed by random amounts, in random order",
    related=("greyscale", "solarise", "random_resized_crop"),
    reads=("image",),
)

CHANGES = ("brightness", "contrast", "saturation", "hue")


def colour_jitter(
    *,
    strength: float = 1.0,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
    probability: float = 0.8,
) -> ColourJitter:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like; those not chosen are left as they are.

    strength     multiplies the four amounts
    brightness, contrast, saturation   the most that a factor differs from 1; factors below 0 are 0
    hue          the most that hues are turned, as a share of the circle, up to a half

    Errors: UsageError for negative amounts, for hue times strength above 0.5, and for what is no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> grey = torch.full((3, 3, 2, 2), 0.5)
    >>> view = nf.colour_jitter(brightness=0.0, contrast=0.0)      # grey has neither saturation nor hue
    >>> bool((view(grey, Draws(0, 0, torch.arange(3))) - grey).abs().max() < 1e-6)
    True
    """
    return ColourJitter(brightness * strength, contrast * strength, saturation * strength, hue * strength, probability)


@dataclass(frozen=True)
class ColourJitter:
    """See the file's text."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.probability, CARD.name, "probability")
        for name in CHANGES:
            most = 0.5 if name == "hue" else 1e9
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(
                    f"{name} changed by up to {getattr(self, name)} (amount times strength)",
                    where=f"{CARD.name}.{name}",
                    remedy="give a number from 0" + (" to 0.5, half the circle" if name == "hue" else " on"),
                )

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(records, draws, CARD.name, self.probability, self._changed)

    def _changed(self, images: Tensor, draws: Draws) -> Tensor:
        names = CHANGES if images.shape[1] == 3 else CHANGES[:2]
        drawn = {name: draws.uniform(f"{CARD.name}, {name}").to(images.device) for name in names}
        order = draws.uniform(f"{CARD.name}, order", len(names)).argsort(1).to(images.device)
        made = images.clone()
        for place in range(len(names)):
            for number, name in enumerate(names):
                turn = (order[:, place] == number).nonzero()[:, 0]
                if len(turn) and getattr(self, name):
                    made[turn] = self._one(name, made[turn], drawn[name][turn])
        return made

    def _one(self, name: str, images: Tensor, drawn: Tensor) -> Tensor:
        amount = getattr(self, name)
        if name == "hue":
            hue, saturation, value = to_hsv(images).unbind(1)
            turned = hue + between(-amount, amount, drawn, images)[:, 0]
            return from_hsv(torch.stack([turned, saturation, value], 1)).clamp(0, 1)
        factor = between(max(0.0, 1 - amount), 1 + amount, drawn, images)
        if name == "brightness":
            return (factor * images).clamp(0, 1)
        grey = luma(images) if images.shape[1] == 3 else images
        anchor = grey.mean((2, 3), keepdim=True) if name == "contrast" else grey
        return (factor * images + (1 - factor) * anchor).clamp(0, 1)
