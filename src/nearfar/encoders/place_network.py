"""Place network: a small residual network for images that gives a vector for every place of its map, or their mean, as it is asked.

        map    [n d h w] of the same network as `convolutional`, `linear` at every place where a dimension is asked for
        side "places"    one row a place, with columns `place` [r 2] (its centre, down and across, as shares of the sides) and `cell`
        any other side   one row an image: the mean over its places

So one tower serves terms on whole images and terms on places, and a trained model gives out both: `encode(images, side="image")`, and
`encode_nodes(images, side="places")` for a matrix an image. A place sees its surroundings: at three stages about 30 pixels.
Source: the network of `convolutional`; vectors of places as in dense contrast (Wang et al. 2020, arXiv 2011.09157), from memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.encoders.shared.residual_network import ResidualNetwork

CARD = Card(
    name="place_network",
    summary="a residual network for images: a vector a place, or their mean",
    related=("convolutional", "montage_network", "place"),
    reads=("image",),
    public=("PlaceNetwork",),
)

PLACES = "places"  # the side that is asked for rows of places


class PlaceNetwork(ResidualNetwork):
    """Images to vectors of their places, see the file's text. `fit` makes one."""

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image, or of the side "places" one a place, image by image."""
        features = self.features(inputs)
        if side != PLACES:
            return Rows(self.pooled(features))
        n, _, height, width = features.shape
        vectors = self.linear(features.permute(0, 2, 3, 1).flatten(0, 2))
        cell = torch.arange(height * width, device=vectors.device)
        down, across = (cell // width + 0.5) / height, (cell % width + 0.5) / width
        columns = {
            "source": torch.arange(n, device=vectors.device).repeat_interleave(len(cell)),
            "place": torch.stack([down, across], 1).repeat(n, 1),
            "cell": cell.repeat(n),
        }
        return Rows(vectors, columns)
