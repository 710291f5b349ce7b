"""Colours of images [n 3 h w] of values 0 to 1: luma, and hue, saturation and value.

Hue goes once around the circle from 0 to 1 (red 0, green 1/3, blue 2/3), as in Python's `colorsys`; grey has hue 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Colours = Float[Tensor, "n 3 h w"]

LUMA = (
    0.299,
    0.587,
    0.114,
)  # what red, green and blue add to brightness: ITU-R 601, of which papers round the last digit


def luma(images: Colours) -> Float[Tensor, "n 1 h w"]:
    """The grey that is as bright."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def to_hsv(images: Colours) -> Colours:
    """Red, green and blue to hue, saturation and value.

    >>> to_hsv(torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)).flatten().mul(3).tolist()
    [1.0, 3.0, 3.0]
    """
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)
    span = value - low
    safe = torch.where(span > 0, span, 1)
    # Sixths of the circle; where two channels share the maximum, both formulas agree.
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return torch.stack([(sixth / 6) % 1, span / torch.where(value > 0, value, 1), value], 1)


def from_hsv(images: Colours) -> Colours:
    """Hue, saturation and value to red, green and blue; hues outside 0 to 1 go around again."""
    hue, saturation, value = images.unbind(1)
    channels = []
    for offset in (5, 3, 1):
        # How far a channel falls below the value: not at all for a third of the circle, fully for a third, linear between.
        around = (offset + 6 * hue) % 6
        fall = torch.minimum(around, 4 - around).clamp(0, 1)
        channels.append(value - value * saturation * fall)
    return torch.stack(channels, 1)
