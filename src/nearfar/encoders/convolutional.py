"""Convolutional encoder: a small residual network for images, made for training from scratch.

        stem      convolution 3 x 3 (images up to 64 pixels), else 7 x 7 at every fourth pixel
        stages    `depth` residual blocks each; every stage after the first halves the sides and doubles the channels
        block     x + conv(relu(norm(conv(relu(norm(x))))))
        vector    relu(norm(.)), averaged over all places; `dimension` adds a linear map

Group norm stands where residual networks mostly have batch norm: an image's vector must not depend on its batch mates, so that
micro-batches and ranks give one gradient. width=64, depth=2, stages=4 is ResNet-18's size.

Its relative `vision_transformer` needs more data for the same accuracy; this one is quick on CPUs at 32 pixels.

Source: blocks in pre-activation order, He et al. 2016 (arXiv 1603.05027); group norm, Wu and He 2018 (arXiv 1803.08494), with groups
of at least 4 channels, 32 groups at most; the 3 x 3 stem for small images, SimCLR (arXiv 2002.05709) on CIFAR-10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.encoders.shared.image_encoder import ImageEncoder, PictureSetup, Scale, scale_of, stored_setup
from nearfar.encoders.shared.settings import MAX_WIDTH, check_sizes, stored

CARD = Card(
    name="convolutional",
    summary="a small residual network with group norm for images, trained from scratch",
    related=("vision_transformer",),
    reads=("image",),
    public=("Convolutional",),
)

SMALL = 64  # pixels: up to here every pixel is looked at from the start


@dataclass(frozen=True)
class _Setup(PictureSetup):
    width: int
    depth: int
    stages: int
    dimension: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, width=1024, depth=64, stages=6)
        if self.dimension is not None:
            check_sizes(self, dimension=MAX_WIDTH)


class Convolutional(ImageEncoder):
    """Images to vectors, see the file's text. `fit` makes one."""

    def __init__(self, setup: _Setup, scale: Scale) -> None:
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
    ) -> Convolutional:
        """An encoder with random weights, and the mean and deviation of a sample of the images of all sides.

        width      channels of the first stage
        depth      residual blocks in a stage
        stages     of halved sides and doubled channels
        size       pixels: images are cropped to a square and resized to this (see nearfar.core.images)
        channels   3 for colours, 1 for grey
        dimension  length of a vector; None: width * 2 ** (stages - 1), without a linear map

        Raises UsageError for settings that make no sense, DataError if no image can be read.
        """
        setup = _Setup(width, depth, stages, dimension, size=size, channels=channels)
        scale = scale_of(records, size, channels)
        with seeded(seed):
            return cls(setup, scale)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], of any height and width."""
        # Channels last is the layout that convolutions on CPUs want; it changes no number.
        x = self.scaled(inputs, self.stem.weight).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return Rows(self.linear(x.mean((2, 3))))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Convolutional:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a convolutional encoder"):
            return cls(*stored_setup(_Setup, config))


class _Block(nn.Module):
    """Two convolutions around a residual; the way past them is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _norm(inputs), _norm(outputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.past = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.first_norm(x))
        past = x if self.past is None else self.past(ready)
        return past + self.second(F.relu(self.second_norm(self.first(ready))))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, max(1, channels // 4)) if channels % 4 == 0 else 1, channels)
