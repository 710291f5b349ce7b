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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.images import images
from nearfar.core.rows import Rows
from nearfar.maths.pixels import Scale, check_counts, check_picture, scale_from, scale_of, scaled

CARD = Card(
    name="convolutional",
    summary="a small residual network with group norm for images, trained from scratch",
    related=("vision_transformer",),
    reads=("image",),
    public=("Convolutional",),
)

SMALL = 64  # pixels: up to here every pixel is looked at from the start
SETTINGS = ("width", "depth", "stages", "size", "channels", "dimension")
LIMITS = {"width": 1024, "depth": 64, "stages": 6, "dimension": 65_536}


class Convolutional(nn.Module):
    """Images to vectors, see the file's text. `fit` makes one."""

    def __init__(
        self, width: int, depth: int, stages: int, size: int, channels: int, dimension: int | None, scale: Scale
    ) -> None:
        super().__init__()
        self.width, self.depth, self.stages, self.size, self.channels = width, depth, stages, size, channels
        self.scale, self.out = scale, dimension
        wide = [width << stage for stage in range(stages)]
        self.dimension = wide[-1] if dimension is None else dimension
        small = size <= SMALL
        self.stem = nn.Conv2d(channels, width, 3 if small else 7, 1 if small else 4, 1 if small else 3, bias=False)
        self.blocks = nn.Sequential(
            *(
                _Block(wide[max(0, stage - (place == 0))], wide[stage], 2 if stage and place == 0 else 1)
                for stage in range(stages)
                for place in range(depth)
            )
        )
        self.norm = _norm(wide[-1])
        self.linear = nn.Identity() if dimension is None else nn.Linear(wide[-1], dimension)
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
        _check(width, depth, stages, size, channels, dimension)
        scale = scale_of(records, size, channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(width, depth, stages, size, channels, dimension, scale)

    def prepare(self, records: Sequence[Any]) -> Tensor:
        """Paths, Pillow images or arrays as bytes, uint8 [n c size size]. Raises DataError, where="record i"."""
        return images(records, self.size, channels=self.channels)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], of any height and width."""
        # Channels last is the layout that convolutions on CPUs want; it changes no number.
        x = scaled(inputs, self.scale, self.stem.weight).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return Rows(self.linear(x.mean((2, 3))))

    def cost(self, inputs: Tensor) -> Tensor:
        """One an image [n]."""
        return torch.ones(len(inputs))

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        settings = (self.width, self.depth, self.stages, self.size, self.channels, self.out)
        return dict(zip(SETTINGS, settings, strict=True)) | {
            "mean": list(self.scale.mean),
            "deviation": list(self.scale.deviation),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Convolutional:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        settings: list[Any] = [config.get(name) for name in SETTINGS]
        try:
            _check(*settings)
            return cls(*settings, scale=scale_from(config, config["channels"]))
        except UsageError as error:
            raise DataError(
                f"this is no configuration of a convolutional encoder: {error.what}",
                where="encoders",
                remedy="the model is damaged; save it anew",
            ) from None


def _check(width: Any, depth: Any, stages: Any, size: Any, channels: Any, dimension: Any) -> None:
    check_picture(size, channels)
    counts = {"width": width, "depth": depth, "stages": stages}
    check_counts(counts if dimension is None else counts | {"dimension": dimension}, LIMITS)


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
