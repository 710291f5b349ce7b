"""Residual adapter: vectors of a frozen encoder, moved a little by a bottleneck of two layers.

        v = a W_2 relu(W_1 f) + (1 - a) f        W_1 [d d/r], W_2 [d/r d], no bias

Records are vectors that some frozen encoder gave, so that a step costs next to nothing; the frozen encoder itself is not needed. The share
a = 0 gives every vector as it came, to the bit, which is what the side without an adapter is. Without biases a vector twice as long
becomes one twice as long: under the cosine it does not matter whether the vectors come at unit length.
Kin: `mlp` learns a map of its own and keeps nothing of its input; `projector` is a head, thrown away after training.
Source: Gao et al. 2021 (CLIP-Adapter, arXiv 2110.04544): r = 4; a = 0.2 as in the authors' code, whose adapter has a second ReLU behind
W_2, so that it can only add. The paper's formula, which is this one, has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.core.arrays import Arrays, as_floats
from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.settings import MAX_WIDTH, check_sizes, stored, wrong

CARD = Card(
    name="residual_adapter",
    summary="a small bottleneck added to frozen vectors, share by share",
    related=("mlp", "projector"),
    reads=("table",),
    public=("ResidualAdapter",),
)


@dataclass(frozen=True)
class _Setup:
    dimension: int
    ratio: float
    reduction: int

    def __post_init__(self) -> None:
        check_sizes(self, dimension=MAX_WIDTH, reduction=MAX_WIDTH)
        if type(self.ratio) not in (int, float) or not 0 <= self.ratio <= 1:
            raise wrong("ratio", self.ratio, "give a share from 0, the vectors as they are, to 1, the adapter alone")


class ResidualAdapter(nn.Module):
    """See the file's text. `fit` makes one for vectors of their length; all sides are treated alike."""

    def __init__(self, setup: _Setup) -> None:
        super().__init__()
        self.setup, self.dimension = setup, setup.dimension
        hidden = max(1, setup.dimension // setup.reduction)
        self.down = nn.Linear(setup.dimension, hidden, bias=False)
        self.up = nn.Linear(hidden, setup.dimension, bias=False)
        self.requires_grad_(setup.ratio > 0)  # without a share there is nothing to learn

    @classmethod
    def fit(
        cls, records: Mapping[str, Arrays], *, ratio: float = 0.2, reduction: int = 4, seed: int = 0
    ) -> ResidualAdapter:
        """An adapter with fresh weights for vectors as long as the first of these.

        ratio      the adapter's share of a vector, from 0 to 1
        reduction  how many times narrower the bottleneck is than the vectors

        Raises DataError for records that are no vectors, of unequal length, or not finite; UsageError for settings out of range.
        """
        width = None
        for side in sorted(records):
            if len(records[side]):
                width = _table(records[side], width).shape[1]
        with seeded(seed):
            return cls(_Setup(width or 1, ratio, reduction))

    def prepare(self, records: Arrays) -> Tensor:
        """The vectors [n d], float32, as they are.

        Raises DataError, where="record i", for one of another length or with a value that is not finite.
        """
        return torch.from_numpy(_table(records, self.dimension).astype(np.float32))

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row a record: vectors [n d], not normalised."""
        vectors = inputs.to(self.up.weight.device)
        moved = self.up(self.down(vectors).relu())
        return Rows(self.setup.ratio * moved + (1 - self.setup.ratio) * vectors)

    def cost(self, inputs: Tensor) -> Tensor:
        """[n] ones: all vectors cost the same."""
        return torch.ones(len(inputs))

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ResidualAdapter:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a residual adapter"):
            return cls(from_json(_Setup, dict(config)))


def _table(records: Arrays, width: int | None) -> np.ndarray:
    """Records as a table [n d] of finite numbers; all are as long as the first, or `width`."""
    rows = []
    for number, record in enumerate(records):
        row = as_floats(record, number, (1,), "a vector of numbers")
        width = width or len(row)
        if len(row) != width or not np.isfinite(row).all():
            what = f"a vector of {len(row)}, where others have {width}" if len(row) != width else "a vector with gaps"
            raise DataError(what, where=f"record {number}", remedy="give finite vectors of one encoder")
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, width or 0))
