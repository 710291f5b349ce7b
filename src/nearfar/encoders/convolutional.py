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

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.encoders.shared.image_encoder import scale_of, stored_setup
from nearfar.encoders.shared.residual_network import ResidualNetwork, ResidualSetup
from nearfar.encoders.shared.settings import stored

CARD = Card(
    name="convolutional",
    summary="a small residual network with group norm for images, trained from scratch",
    related=("vision_transformer", "montage_network"),
    reads=("image",),
    public=("Convolutional",),
)


class Convolutional(ResidualNetwork):
    """Images to vectors, see the file's text. `fit` makes one."""

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
        setup = ResidualSetup(width, depth, stages, dimension, size=size, channels=channels)
        scale = scale_of(records, size, channels)
        with seeded(seed):
            return cls(setup, scale)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], of any height and width."""
        return Rows(self.pooled(self.features(inputs)))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Convolutional:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a convolutional encoder"):
            return cls(*stored_setup(ResidualSetup, config))
