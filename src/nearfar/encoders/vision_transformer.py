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
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.images import images
from nearfar.core.rows import Rows
from nearfar.maths.pixels import Scale, check_counts, check_picture, scale_from, scale_of, scaled
from nearfar.maths.transformer_blocks import INITIAL_STD, Block

CARD = Card(
    name="vision_transformer",
    summary="an image as a sequence of patches through transformer blocks, trained from scratch",
    related=("convolutional",),
    reads=("image",),
    public=("VisionTransformer",),
)

SETTINGS = ("dimension", "depth", "heads", "patch", "size", "channels", "pooling", "dropout")
LIMITS = {"dimension": 8192, "depth": 128, "heads": 128, "patch": 256}
POOLINGS = ("mean", "cls")


class VisionTransformer(nn.Module):
    """Images to vectors, see the file's text. `fit` makes one."""

    def __init__(
        self,
        dimension: int,
        depth: int,
        heads: int,
        patch: int,
        size: int,
        channels: int,
        pooling: str,
        dropout: float,
        scale: Scale,
    ) -> None:
        super().__init__()
        self.dimension, self.depth, self.heads, self.patch = dimension, depth, heads, patch
        self.size, self.channels, self.pooling, self.dropout, self.scale = size, channels, pooling, dropout, scale
        side = size // patch
        self.embed = nn.Conv2d(channels, dimension, patch, patch)
        self.position = nn.Parameter(torch.empty(1, dimension, side, side))
        self.token = nn.Parameter(torch.empty(1, 1, dimension)) if pooling == "cls" else None
        self.blocks = nn.ModuleList(Block(dimension, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dimension)
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
        _check(dimension, depth, heads, patch, size, channels, pooling, dropout)
        scale = scale_of(records, size, channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(dimension, depth, heads, patch, size, channels, pooling, dropout, scale)

    def prepare(self, records: Sequence[Any]) -> Tensor:
        """Paths, Pillow images or arrays as bytes, uint8 [n c size size]. Raises DataError, where="record i"."""
        return images(records, self.size, channels=self.channels)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], both sides multiples of the patch."""
        pixels = scaled(inputs, self.scale, self.position)
        if pixels.shape[2] % self.patch or pixels.shape[3] % self.patch or not pixels.numel():
            raise UsageError(
                f"images of {pixels.shape[2]} x {pixels.shape[3]} pixels cannot be cut into patches of {self.patch}",
                where="encoder",
                remedy="let views give sizes that are multiples of the patch",
            )
        patches = self.embed(pixels)
        tokens = (patches + self._positions(patches)).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(tokens), 1, -1), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        states = self.norm(tokens)
        return Rows(states.mean(1) if self.token is None else states[:, 0])

    def _positions(self, patches: Tensor) -> Tensor:
        if patches.shape[2:] == self.position.shape[2:]:
            return self.position
        sides = (patches.shape[2], patches.shape[3])
        return F.interpolate(self.position, sides, mode="bicubic", align_corners=False, antialias=True)

    def cost(self, inputs: Tensor) -> Tensor:
        """One an image [n]."""
        return torch.ones(len(inputs))

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return settings | {"mean": list(self.scale.mean), "deviation": list(self.scale.deviation)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VisionTransformer:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        settings: list[Any] = [config.get(name) for name in SETTINGS]
        try:
            _check(*settings)
            return cls(*settings, scale=scale_from(config, config["channels"]))
        except UsageError as error:
            raise DataError(
                f"this is no configuration of a vision transformer: {error.what}",
                where="encoders",
                remedy="the model is damaged; save it anew",
            ) from None


def _check(
    dimension: Any, depth: Any, heads: Any, patch: Any, size: Any, channels: Any, pooling: Any, dropout: Any
) -> None:
    check_picture(size, channels)
    check_counts({"dimension": dimension, "depth": depth, "heads": heads, "patch": patch}, LIMITS)
    if size % patch:
        raise UsageError(
            f"images of {size} pixels cannot be cut into patches of {patch}",
            where="encoder.patch",
            remedy="choose a size that is a multiple of the patch",
        )
    if dimension % heads:
        raise UsageError(
            f"a vector of {dimension} cannot be cut into {heads} heads",
            where="encoder.heads",
            remedy="choose a dimension that is a multiple of the number of heads",
        )
    if pooling not in POOLINGS:
        raise UsageError(f"no pooling {pooling!r}", where="encoder.pooling", remedy='choose "mean" or "cls"')
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise UsageError(f"a dropout of {dropout!r}", where="encoder.dropout", remedy="give a share from 0 to below 1")
