"""The small residual network that encoders of images from scratch share: from pictures to a map of vectors, a vector a place.

        stem      convolution 3 x 3 (images up to 64 pixels), else 7 x 7 at every fourth pixel
        stages    `depth` residual blocks each; every stage after the first halves the sides and doubles the channels
        block     x + conv(relu(norm(conv(relu(norm(x))))))
        map       relu(norm(.)), and `linear` at every place where a dimension is asked for

Group norm, so that a picture's map does not depend on its batch mates; see `convolutional`, which says where all of it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.seeding import seeded
from nearfar.encoders.shared.image_encoder import ImageEncoder, PictureSetup, Scale, scale_of, stored_setup
from nearfar.encoders.shared.settings import MAX_WIDTH, check_sizes, stored

SMALL = 64  # pixels: up to here every pixel is looked at from the start


@dataclass(frozen=True)
class ResidualSetup(PictureSetup):
    """Sizes of the network."""

    width: int
    depth: int
    stages: int
    dimension: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, width=1024, depth=64, stages=6)
        if self.dimension is not None:
            check_sizes(self, dimension=MAX_WIDTH)

    def side(self, pixels: int) -> int:
        """Places along a side of the map of a picture of so many pixels."""
        if self.size > SMALL:
            pixels = (pixels + 3) // 4
        for _ in range(self.stages - 1):
            pixels = (pixels + 1) // 2
        return pixels


class ResidualNetwork(ImageEncoder):
    """The frame: an encoder adds `forward`, which makes rows of `features`; with more settings, `fit` and `from_config` of its own."""

    setup: ResidualSetup

    def __init__(self, setup: ResidualSetup, scale: Scale) -> None:
        super().__init__(setup, scale)
        wide = [setup.width << stage for stage in range(setup.stages)]
        self.dimension = wide[-1] if setup.dimension is None else setup.dimension
        self.stem = (
            nn.Conv2d(setup.channels, setup.width, 3, padding=1, bias=False)
            if setup.size <= SMALL
            else nn.Conv2d(setup.channels, setup.width, 7, stride=4, padding=3, bias=False)
        )
        self.blocks = nn.Sequential(
            *(
                _Block(wide[max(0, stage - (place == 0))], wide[stage], 2 if stage and place == 0 else 1)
                for stage in range(setup.stages)
                for place in range(setup.depth)
            )
        )
        self.norm = _norm(wide[-1])
        self.linear = nn.Identity() if setup.dimension is None else nn.Linear(wide[-1], setup.dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        width: int = 32,
        depth: int = 1,
        stages: int = 3,
        size: int = 32,
        channels: int = 3,
        dimension: int | None = None,
        seed: int = 0,
    ) -> Self:
        """An encoder with random weights, and the mean and deviation of a sample of the images of all sides.

        width      channels of the first stage
        depth      residual blocks in a stage
        stages     of halved sides and doubled channels
        size       pixels: images are cropped to a square and resized to this (see nearfar.core.images)
        channels   3 for colours, 1 for grey
        dimension  length of a vector; None: width * 2 ** (stages - 1), without a linear map

        Raises UsageError for settings that make no sense, DataError if no image can be read.
        """
        return cls.drawn(ResidualSetup(width, depth, stages, dimension, size=size, channels=channels), records, seed)

    @classmethod
    def drawn(cls, setup: ResidualSetup, records: Mapping[str, Sequence[Any]], seed: int) -> Self:
        """Random weights for a setup, and the scale of the images."""
        scale = scale_of(records, setup.size, setup.channels)
        with seeded(seed):
            return cls(setup, scale)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a residual network"):
            return cls(*stored_setup(ResidualSetup, config))

    def features(self, inputs: Tensor) -> Tensor:
        """The map [n d h w] before `linear`, of bytes or of floats 0 to 1 [n c h w], of any height and width."""
        # Channels last is the layout that convolutions on CPUs want; it changes no number.
        x = self.scaled(inputs, self.stem.weight).contiguous(memory_format=torch.channels_last)
        return F.relu(self.norm(self.blocks(self.stem(x))))

    def pooled(self, features: Tensor) -> Tensor:
        """One vector a picture [n dimension]: the mean over all places of its map."""
        return self.linear(features.mean((2, 3)))


class _Block(nn.Module):
    """Two convolutions around a residual; the way past them is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _norm(inputs), _norm(outputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.past = None if same else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.first_norm(x))
        # Every second place is taken here and not by a stride of the 1 x 1 convolution, which is the same: torch's gradient of that writes
        # beyond its memory for channels last and fewer than 8 channels (2.13, x86).
        past = x if self.past is None else self.past(ready[:, :, :: self.stride, :: self.stride])
        return past + self.second(F.relu(self.second_norm(self.first(ready))))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, max(1, channels // 4)) if channels % 4 == 0 else 1, channels)
