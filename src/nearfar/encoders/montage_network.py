"""Montage network: a small residual network that looks at montages of pieces of several pictures, and gives a vector for each piece.

        pictures of a bag -> 2 x 2 overlapping pieces each -> views, each piece by itself -> all pieces of the bag shuffled
        -> montages of 2 x 2 pieces -> network -> map -> mean of each quarter -> a vector a piece, in the order of the pieces

A bag of m pictures has m montages, as large together as the m pictures, and 4 m pieces; so pieces cost no more than pictures. Pieces
in one montage see one another at their borders: the record is the bag, which is never cut. Rows have the columns `picture` (its
place in the bag) and `place` (0 top left, 1 top right, 2 bottom left, 3 bottom right, in the picture that it was cut from). A
picture by itself is looked at as a whole and has one vector, the mean of its map: that is what a trained model gives out.
The same network as `convolutional`; bags are made by `picture_bag`.
Source: Chen et al. 2021 (arXiv 2104.00323), with the authors' code: pieces of 0.8 of a side (an overlap of 0.3 of the side beyond
the middle), shuffled over the batch, here over the bag. Their map of 7 x 7 is resized to 8 x 8 before it is quartered; here its side
must be even.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError
from nearfar.core.images import images
from nearfar.core.rows import Rows
from nearfar.encoders.shared.image_encoder import Scale, stored_setup
from nearfar.encoders.shared.residual_network import ResidualNetwork, ResidualSetup
from nearfar.encoders.shared.settings import stored, wrong

CARD = Card(
    name="montage_network",
    summary="a residual network that sees montages of pieces of several pictures: a vector a piece",
    related=("convolutional", "picture_bag"),
    reads=("image",),
    public=("MontageNetwork",),
)

PIECES = 4


@dataclass(frozen=True)
class _Setup(ResidualSetup):
    overlap: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.overlap, bool) or not 0 <= self.overlap <= 0.5:  # also for NaN
            raise wrong("overlap", self.overlap, "give a share of the side from 0 to 0.5")
        if self.size < 4 or self.side(self.size) % 2:
            raise wrong(
                "size",
                self.size,
                f"a map of {self.side(self.size)} places a side has no quarters; take a power of two, or fewer stages",
            )

    @property
    def piece(self) -> int:
        """Pixels along a side of a piece, before views."""
        return math.floor(self.size // 2 + self.overlap * self.size)


class MontageNetwork(ResidualNetwork):
    """Bags of pictures to a vector a piece, single pictures to one each; see the file's text. `fit` makes one."""

    draws_by_record = True

    def __init__(self, setup: _Setup, scale: Scale) -> None:
        super().__init__(setup, scale)
        self.piece = setup.piece

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
        overlap: float = 0.3,
        seed: int = 0,
    ) -> MontageNetwork:
        """An encoder with random weights, and the mean and deviation of a sample of the pictures of all sides.

        overlap  how far beyond the middle a piece reaches, as a share of the picture's side
        The others are those of `convolutional`; `size` is that of whole pictures, and of montages if views bring pieces to its half.

        Raises UsageError for settings that make no sense, DataError if no picture can be read.
        """
        setup = _Setup(width, depth, stages, dimension, overlap, size=size, channels=channels)
        return cls.drawn(setup, records, seed)

    def prepare(self, records: Sequence[Any]) -> Tensor:
        """Pictures as bytes [n c size size]; bags of m as their pieces [n 4m c piece piece], picture by picture.

        Raises DataError, where="record i".
        """
        bags = [record for record in records if isinstance(record, tuple)]
        if not bags:
            return super().prepare(records)
        if len(bags) < len(records) or len({len(bag) for bag in bags}) > 1:
            first = next(
                i for i, r in enumerate(records) if not isinstance(r, tuple) or len(r) != len(bags[0]) or not r
            )
            raise DataError(
                "pictures and bags, or bags of several sizes, in one batch",
                where=f"record {first}",
                remedy="let one view make all bags: picture_bag",
            )
        made = []
        for number, bag in enumerate(bags):
            try:
                made.append(self._pieces(images(bag, self.setup.size, channels=self.setup.channels)))
            except DataError as error:
                raise DataError(error.what, where=f"record {number}, {error.where}", remedy=error.remedy) from error
        return torch.stack(made)

    def _pieces(self, pictures: Tensor) -> Tensor:
        """[m c s s] -> [4m c piece piece]."""
        near, far = slice(None, self.piece), slice(self.setup.size - self.piece, None)
        corners = [pictures[..., down, across] for down in (near, far) for across in (near, far)]
        return torch.stack(corners, 1).flatten(0, 1)

    def forward(self, inputs: Tensor, side: str = "query", draws: Draws | None = None) -> Rows:
        """One row a picture [n c h w]; of bags [n 4m c h w] one a piece, shuffled over the bag's montages by `draws`.

        Raises UsageError for bags without draws.
        """
        if inputs.ndim != 5:
            return Rows(self.pooled(self.features(inputs)))
        bags, pieces = inputs.shape[:2]
        if draws is None:
            raise UsageError("the pieces of a bag are shuffled, and there is no chance", remedy="give their draws")
        order = draws.uniform("montage_network", pieces).argsort(1).to(inputs.device)  # which piece stands at each spot
        bag = torch.arange(bags, device=inputs.device)[:, None]
        spots = inputs[bag, order].unflatten(1, (pieces // PIECES, 2, 2))
        # [n montages 2 2 c h w] -> [n montages, c, 2 h, 2 w]
        montages = spots.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(0, 1)
        quarters = F.adaptive_avg_pool2d(self.features(montages), 2)
        shuffled = self.linear(quarters.flatten(2).transpose(1, 2).reshape(bags, pieces, -1))
        vectors = shuffled[bag, order.argsort(1)].flatten(0, 1)
        number = torch.arange(pieces, device=inputs.device).repeat(bags)
        columns = {
            "source": bag[:, 0].repeat_interleave(pieces),
            "picture": number // PIECES,
            "place": number % PIECES,
        }
        return Rows(vectors, columns)

    def cost(self, inputs: Tensor) -> Tensor:
        """Pictures, or montages of a bag [n]."""
        return torch.full((len(inputs),), inputs.shape[1] / PIECES if inputs.ndim == 5 else 1.0)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MontageNetwork:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a montage network"):
            return cls(*stored_setup(_Setup, config))
