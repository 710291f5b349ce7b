"""Gaussian blur: the image through a Gaussian of random width, in every second image.

        x_i <- sum_j w_ij x_j       w_ij ~ exp(-(i - j)^2 / 2 sigma^2), sum_j w_ij = 1, in both directions

Sigma is uniform in [0.1, 2] pixels. The weights end where the image ends, so that no border turns dark, and the kernel is not cut:
papers take one of 23 pixels for images of 224, which leaves out less than a millionth.

Sigma is in pixels, as in the papers, which have images of 224; smaller images are blurred more by the same number (SimCLR blurs none
of 32). `sigma=(0.1, 2.0 * side / 224)` keeps the proportion.

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A): probability 0.5. BYOL (Grill et al. 2020, arXiv 2006.07733,
appendix B) blurs its first view always and its second with probability 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.maths.pictures import changed, gaussian, separable
from nearfar.views.shared.options import check_range, check_share

CARD = Card(
    name="gaussian_blur",
    summary="the image through a Gaussian of random width, in every second image",
    related=("solarise", "colour_jitter"),
    reads=("image",),
)


def gaussian_blur(*, sigma: tuple[float, float] = (0.1, 2.0), probability: float = 0.5) -> GaussianBlur:
    """A view of images, floats [n c h w] of 0 to 1, that gives the like; those not chosen are left as they are.

    sigma   standard deviation in pixels, lower and upper end

    Errors: UsageError for a sigma not above 0, what is no probability, and what is no batch of images.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> flat = torch.full((2, 1, 5, 5), 0.25)
    >>> bool((nf.gaussian_blur(probability=1.0)(flat, Draws(0, 0, torch.arange(2))) - 0.25).abs().max() < 1e-6)
    True
    """
    return GaussianBlur(sigma, probability)


@dataclass(frozen=True)
class GaussianBlur:
    """See the file's text."""

    sigma: tuple[float, float]
    probability: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("sigma", self.sigma, CARD.name, least=0, most=1e9)
        check_share(self.probability, CARD.name, "probability")

    def __call__(self, records: Tensor, draws: Draws) -> Tensor:
        return changed(records, draws, CARD.name, self.probability, self._blurred)

    def _blurred(self, images: Tensor, draws: Draws) -> Tensor:
        low, high = self.sigma
        sigma = (low + (high - low) * draws.uniform(f"{CARD.name}, sigma")).to(images.device)
        height, width = images.shape[2:]
        return separable(images, gaussian(sigma, height), gaussian(sigma, width))
