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

from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.encoders.shared.residual_network import ResidualNetwork

CARD = Card(
    name="convolutional",
    summary="a small residual network with group norm for images, trained from scratch",
    related=("vision_transformer", "montage_network"),
    reads=("image",),
    public=("Convolutional",),
)


class Convolutional(ResidualNetwork):
    """Images to vectors, see the file's text. `fit` makes one."""

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image: vectors [n dimension], of bytes or of floats 0 to 1 [n c h w], of any height and width."""
        return Rows(self.pooled(self.features(inputs)))
