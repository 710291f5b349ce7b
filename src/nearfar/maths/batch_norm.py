"""Batch norm whose running averages move in `update`, once a step, and never in a forward pass.

        y = (x - mean) / sqrt(variance + epsilon) * weight + bias

While training, mean and variance (over n) are those of the rows given, which execution makes all rows of the global batch; so a
head with batch norm belongs to the objective. In evaluation they are running averages: r <- (1 - share) r + share * (of this step),
the variance over n - 1. torch moves those in each forward pass, so embedding twice (micro-batches) or in tiles would move
them twice. Values, gradients and names of the state are those of torch's `BatchNorm1d`. Being one, it is refused in towers that are
embedded in pieces.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of rows [n d].

    >>> import torch
    >>> norm, x = BatchNorm(2), torch.tensor([[1.0, 5.0], [3.0, 9.0]])
    >>> norm(x).detach().round(decimals=3).tolist(), norm.running_mean.tolist()
    ([[-1.0, -1.0], [1.0, 1.0]], [0.0, 0.0])
    """

    def __init__(self, width: int, *, epsilon: float = 1e-5, share: float = 0.1, affine: bool = True) -> None:
        """`share` is what one step adds to the averages (torch calls it momentum)."""
        super().__init__(width, eps=epsilon, momentum=share, affine=affine)
        self.share = share

    def forward(self, input: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:  # noqa: A002 - torch's name
        """The rows normalised by themselves while training, by the running averages in evaluation. Writes nothing.

        Raises UsageError for a single row while training, and for rows of another width.
        """
        self._check(input, self.training)
        averages = (None, None) if self.training else (self.running_mean, self.running_var)
        return functional.batch_norm(input, *averages, self.weight, self.bias, self.training, 0.0, self.eps)

    @torch.no_grad()
    def observe(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Move the running averages by the statistics of these rows; returns the rows normalised by themselves."""
        self._check(vectors, True)
        self.get_buffer("num_batches_tracked").add_(1)
        averages = self.running_mean, self.running_var
        return functional.batch_norm(vectors, *averages, self.weight, self.bias, True, self.share, self.eps)

    def update(self, *tables: Rows) -> None:
        """Once after each optimiser step, with the rows that this layer normalised."""
        for table in tables:
            self.observe(table.vectors)

    def _check(self, vectors: Tensor, by_batch: bool) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.num_features:
            raise UsageError(
                f"vectors of shape {list(vectors.shape)} for a batch norm of width {self.num_features}",
                remedy="give it the rows that it normalises; inside of a head, call the head's update",
            )
        if by_batch and len(vectors) < 2:
            raise UsageError(
                "batch norm of a single row: all its values would become zero",
                remedy="train with batches of two records or more, or take a head without batch norm",
            )


class GlobalLayers(nn.Sequential):
    """Layers one after the other, some of which mix records; `update` gives each the rows that reach it.

    May be nested: a projector and a predictor in one `GlobalLayers` move both by one `update`.
    """

    @torch.no_grad()
    def observe(self, vectors: Tensor) -> Tensor:
        """Move what the layers remember; returns what they make of the rows."""
        for layer in self:
            step = layer.observe if isinstance(layer, (BatchNorm, GlobalLayers)) else layer
            vectors = step(vectors)
        return vectors

    def update(self, *tables: Rows) -> None:
        """Once after each optimiser step, with the rows that the first layer was given, of the whole global batch."""
        for table in tables:
            self.observe(table.vectors)
