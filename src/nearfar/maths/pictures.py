"""Batches of images [n c h w] of values 0 to 1, as views change them: some of them, by two matrices each, by a table of colours.

A view draws a number a record and then computes with all of them at once. Everything here treats each image by itself, so that
it looks the same in any batch; images that are not chosen are left as they are, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError

Images = Float[Tensor, "n c h w"]


def changed(
    images: Tensor, draws: Draws, view: str, probability: float, change: Callable[[Tensor, Draws], Tensor]
) -> Tensor:
    """Each image with this probability as `change(some images, their draws)` makes it, else as it was.

    `view` names what is drawn: two views of one record must not draw the same numbers. Raises UsageError as `check` does.
    """
    check(images, draws, view)
    chosen = (draws.uniform(f"{view}, whether") < probability).nonzero()[:, 0]
    if not len(chosen):
        return images
    made, place = images.clone(), chosen.to(images.device)
    made[place] = change(images[place], draws.take(chosen))
    return made


def check(images: Tensor, draws: Draws, view: str) -> None:
    """Raises UsageError for what is no batch of images with values 0 to 1, or not as many as draws."""
    if images.ndim != 4 or not images.is_floating_point() or images.shape[1] not in (1, 3):
        raise UsageError(
            f"a tensor {list(images.shape)} of {images.dtype} is no batch of images",
            where=view,
            remedy="give floats from 0 to 1, [n c h w] with 1 or 3 channels; bytes are divided by 255 first",
        )
    if len(images) != len(draws):
        raise UsageError(f"{len(images)} images and draws of {len(draws)} records", where=view, remedy="give one each")


def between(low: float, high: float, drawn: Tensor, images: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """Uniform draws [n] in (0, 1) as numbers from low to high, one an image, where the images are and of their kind."""
    return (low + (high - low) * drawn).to(images)[:, None, None, None]


def separable(images: Images, down: Float[Tensor, "n g h"], across: Float[Tensor, "n k w"]) -> Float[Tensor, "n c g k"]:
    """Each image through two matrices of its own: columns by `down`, rows by `across`. Two batched products.

    A product of matrices costs more operations than a few taps a pixel, but runs at the machine's full speed, needs no
    padding (a row of weights ends where the image ends) and no limit to the reach of a filter.
    """
    with torch.autocast(images.device.type, enabled=False):  # half precision would cost visible shades
        made = down.to(images)[:, None] @ images @ across.to(images)[:, None].transpose(2, 3)
    return made.clamp(0, 1)  # rounding only: the weights of a pixel are positive and sum to one


def window(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Float[Tensor, "n outputs inputs"]:
    """Matrices that resample the window from `start` [n] over `length` [n] pixels to `outputs` pixels.

    Linear interpolation where that enlarges, and where it shrinks a triangle as wide as an output pixel, so that nothing
    aliases; edges are continued. Pixel i covers i to i + 1, as in Pillow's `resize` with a box and torch's align_corners=False.
    """
    scale = length / outputs
    place = torch.arange(outputs, device=start.device) + 0.5
    centre = (start[:, None] + place * scale[:, None] - 0.5).float()
    distance = torch.arange(inputs, device=start.device) - centre[..., None]
    weight = (1 - distance.abs() / scale.clamp_min(1).float()[:, None, None]).clamp_min(0)
    return weight / weight.sum(2, keepdim=True)


def gaussian(sigma: Tensor, size: int) -> Float[Tensor, "n size size"]:
    """Matrices that blur `size` pixels with a standard deviation of sigma [n] pixels; beyond the edge nothing has weight."""
    pixel = torch.arange(size, device=sigma.device)
    distance = (pixel[:, None] - pixel).float()
    weight = torch.exp(-0.5 * (distance / sigma.float()[:, None, None]) ** 2)
    return weight / weight.sum(2, keepdim=True)


def turned(images: Images, radians: Float[Tensor, " n"]) -> Images:
    """Each image turned counter-clockwise about its centre, bilinear, mirrored beyond its edges."""
    n, _, height, width = images.shape
    cosine, sine = radians.float().cos(), radians.float().sin()
    zero = torch.zeros_like(cosine)
    # The grid runs from -1 to 1 on both sides of an image that need not be square.
    rows = [cosine, -sine * height / width, zero, sine * width / height, cosine, zero]
    grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), list(images.shape), align_corners=False)
    sampled = F.grid_sample(images, grid.to(images), mode="bilinear", padding_mode="reflection", align_corners=False)
    return sampled.clamp(0, 1)
