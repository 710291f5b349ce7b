"""Rotation: the image turned about its centre by a random angle.

        angle uniform in [- degrees, degrees]; what comes in from beyond the edges is the image mirrored

For pictures without an up or down (`degrees=180`: satellites, microscopes, galaxies), or held not quite straight (a few degrees).

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, section 3) examined quarter turns and left them out: of photographs, which have an
up, they are harmful as positives. The angle of 15 degrees is ours; so are the mirrored corners, for black ones would give the angle away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.pictures import changed, turned
from nearfar.views.shared.options import check_share

CARD = Card(
    name="rotation",
    summary="the image turned about its centre by a random angle",
    related=("horizontal_flip", "random_resized_crop"),
    reads=("image",),
)


def rotation(*, degrees: float = 15.0, probability: float = 1.0) -> Rotation:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like; those not chosen are left as they are.

    degrees   the largest angle to either side, up to 180

    Errors: UsageError for another angle, what is no probability, and what is no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> flat = torch.full((2, 1, 5, 7), 0.25)
    >>> bool((nf.rotation()(flat, Draws(0, 0, torch.arange(2))) - 0.25).abs().max() < 1e-6)     # no dark corners
    True
    """
    return Rotation(degrees, probability)


@dataclass(frozen=True)
class Rotation:
    """See the file's text."""

    degrees: float
    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.probability, CARD.name, "probability")
        if not 0 <= self.degrees <= 180:
            raise UsageError(
                f"turned by up to {self.degrees} degrees", where=f"{CARD.name}.degrees", remedy="give 0 to 180"
            )

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(records, draws, CARD.name, self.probability, self._turned)

    def _turned(self, images: Tensor, draws: Draws) -> Tensor:
        angle = math.radians(self.degrees) * (2 * draws.uniform(f"{CARD.name}, angle") - 1)
        return turned(images, angle.to(images.device).float())
