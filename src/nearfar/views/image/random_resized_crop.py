"""Random resized crop: a window of random area, shape and place, brought to the size of the whole.

        area   uniform in [0.08, 1] of the image's
        ratio  width : height, log-uniform in [3/4, 4/3]
        place  uniform where the window fits

The one view that contrastive learning of images cannot do without: it makes "part of the same scene" the positive. SimCLR found
colour distortion to be needed beside it, else the histogram of a crop gives its origin away (`colour_jitter`).

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A) after Inception's crop, also BYOL (Grill et al. 2020, arXiv
2006.07733, appendix B). SimCLR's text takes the ratio relative to the image's own, its common implementations and BYOL that of the
window in pixels, as here; for square images both are one. A drawn window that does not fit is drawn again, ten times at most, then
the largest central one of an allowed shape is taken. BYOL resizes bicubically; here it is linear, which never leaves 0 to 1.
Windows are not rounded to whole pixels, which matters for images of 32 pixels and less. SwAV's small crops (Caron et al. 2020,
arXiv 2006.09882) are `random_resized_crop(size=96, area=(0.05, 0.14))`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.pictures import check, separable, window
from nearfar.views.shared.options import check_range

CARD = Card(
    name="random_resized_crop",
    summary="a window of random area, shape and place, resized: part of the scene stands for the whole",
    related=("horizontal_flip", "colour_jitter"),
    reads=("image",),
)

ATTEMPTS = 10


def random_resized_crop(
    *, size: int | None = None, area: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> RandomResizedCrop:
    """A view of images, floats [n c h w] of 0 to 1, that gives [n c size size], or [n c h w] for None.

    area   of the window as a share of the image, lower and upper end
    ratio  of the window's width to its height, lower and upper end

    Errors: UsageError for ranges or a size that make no sense, and for what is no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> images = torch.rand(2, 3, 32, 48)
    >>> nf.random_resized_crop(size=24)(images, Draws(0, epoch=0, record=torch.arange(2))).shape
    torch.Size([2, 3, 24, 24])
    """
    return RandomResizedCrop(size, area, ratio)


@dataclass(frozen=True)
class RandomResizedCrop:
    """See the file's text."""

    size: int | None
    area: tuple[float, float]
    ratio: tuple[float, float]
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("area", self.area, CARD.name, least=0, most=1)
        check_range("ratio", self.ratio, CARD.name, least=0, most=math.inf)
        if self.size is not None and self.size < 1:
            raise UsageError(f"crops of size {self.size}", where=f"{CARD.name}.size", remedy="give a number of pixels")

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        check(records, draws, CARD.name)
        height, width = records.shape[2:]
        top, left, tall, wide = self.windows(height, width, draws).to(records.device).unbind(1)
        down = window(top, tall, height, self.size or height)
        across = window(left, wide, width, self.size or width)
        return separable(records, down, across)

    def windows(self, height: int, width: int, draws: Draws) -> Tensor:
        """[n 4] float64: top, left, height and width of each record's window, in pixels."""
        share = draws.uniform(f"{CARD.name}, area", ATTEMPTS)
        area = height * width * (self.area[0] + (self.area[1] - self.area[0]) * share)
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * draws.uniform(f"{CARD.name}, ratio", ATTEMPTS))
        tall, wide = (area / ratio).sqrt(), (area * ratio).sqrt()
        fits = (tall <= height) & (wide <= width)
        first = fits.int().argmax(1, keepdim=True)
        place = draws.uniform(f"{CARD.name}, place", 2)
        tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
        drawn = torch.stack([place[:, 0] * (height - tall), place[:, 1] * (width - wide), tall, wide], 1)
        return torch.where(fits.any(1, keepdim=True), drawn, drawn.new_tensor(self._central(height, width)))

    def _central(self, height: int, width: int) -> list[float]:
        tall = min(height, width / self.ratio[0])
        wide = min(width, height * self.ratio[1])
        return [(height - tall) / 2, (width - wide) / 2, tall, wide]
