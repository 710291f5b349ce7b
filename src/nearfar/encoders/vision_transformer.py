"""Vision transformer: an image as a sequence of patches, through the blocks that texts go through.

        tokens   linear(patch of p x p pixels) + learned position;  [cls, tokens] for pooling "cls"
        blocks   pre-norm attention and perceptron (maths/transformer_blocks), `depth` times, then layer norm
        vector   "mean": average of the tokens; "cls": the state of the extra token

Images of another size than the encoder was made for (small crops beside large ones) have their positions interpolated, as DINO does.

Source: Dosovitskiy et al. 2020 (arXiv 2010.11929). Mean pooling by default: Beyer et al. 2022 (arXiv 2205.01580) take it instead of the
extra token when training from scratch; MoCo v3 (arXiv 2104.02057) and DINO (arXiv 2104.14294) use the token. The default size is
that of small images on CPUs; width 384, depth 12, heads 6, patch 16, size 224 is ViT-S/16. Its relative `convolutional` learns more from
little data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.encoders.shared.image_encoder import ImageEncoder, PictureSetup, Scale, scale_of, stored_setup
from nearfar.encoders.shared.settings import check_choice, check_dropout, check_heads, check_sizes, stored, wrong
from nearfar.maths.transformer_blocks import INITIAL_STD, Block

CARD = Card(
    name="vision_transformer",
    summary="an image as a sequence of patches through transformer blocks, trained from scratch",
    related=("convolutional",),
    reads=("image",),
    public=("VisionTransformer",),
)


@dataclass(frozen=True)
class _Setup(PictureSetup):
    dimension: int
    depth: int
    heads: int
    patch: int
    pooling: str
    dropout: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, dimension=8192, depth=128, heads=128, patch=256)
        if self.size % self.patch:
            raise wrong("patch", self.patch, f"choose a divisor of the size, which is {self.size}")
        check_heads(self.dimension, self.heads)
        check_choice("pooling", self.pooling, ("mean", "cls"))
        check_dropout(self.dropout)


class VisionTransformer(ImageEncoder):
    """Images to vectors, see the file's text. `fit` makes one."""

    def __init__(self, setup: _Setup, scale: Scale) -> None:
        super().__init__(setup, scale)
        self.patch, self.dimension = setup.patch, setup.dimension
        side = setup.size // setup.patch
        self.embed = nn.Conv2d(setup.channels, setup.dimension, setup.patch, setup.patch)
        self.position = nn.Parameter(torch.empty(1, setup.dimension, side, side))
        self.token = nn.Parameter(torch.empty(1, 1, setup.dimension)) if setup.pooling == "cls" else None
        self.blocks = nn.ModuleList(
            Block(setup.dimension, setup.heads, dropout=setup.dropout) for _ in range(setup.depth)
        )
        self.norm = nn.LayerNorm(setup.dimension)
        for weight in (self.position, self.token):
            if weight is not None:
                nn.init.normal_(weight, std=INITIAL_STD)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 128,
        depth: int = 4,
        heads: int = 4,
        patch: int = 4,
        size: int = 32,
        channels: int = 3,
        pooling: Literal["mean", "cls"] = "mean",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> VisionTransformer:
        """An encoder with random weights, and the mean and deviation of a sample of the images of all sides.

        dimension  of tokens and of the vector, a multiple of `heads`
        patch      pixels a side, a divisor of `size`
        size       pixels: images are cropped to a square and resized to this (see nearfar.core.images)
        channels   3 for colours, 1 for grey
        pooling    "mean" over the patches, or "cls", an extra token
        dropout    inside the blocks, while training

        Raises UsageError for settings that make no sense, DataError if no image can be read.
        """
        setup = _Setup(dimension, depth, heads, patch, pooling, dropout, size=size, channels=channels)
        scale = scale_of(records, size, channels)
        with seeded(seed):
            return cls(setup, scale)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], both sides multiples of the patch."""
        pixels = self.scaled(inputs, self.position)
        height, width = pixels.shape[2:]
        if height % self.patch or width % self.patch or not (height and width):
            raise UsageError(
                f"images of {height} x {width} pixels cannot be cut into patches of {self.patch}",
                where="encoder",
                remedy="let views give sizes that are multiples of the patch",
            )
        patches = self.embed(pixels)
        tokens = (patches + self._positions(patches)).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(tokens.shape[0], 1, -1), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        states = self.norm(tokens)
        return Rows(states.mean(1) if self.token is None else states[:, 0])

    def _positions(self, patches: Tensor) -> Tensor:
        if patches.shape[2:] == self.position.shape[2:]:
            return self.position
        sides = (patches.shape[2], patches.shape[3])
        return F.interpolate(self.position, sides, mode="bicubic", align_corners=False, antialias=True)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VisionTransformer:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a vision transformer"):
            return cls(*stored_setup(_Setup, config))
