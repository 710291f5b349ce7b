"""Strided windows and a gated recurrent network: series and sound waves, a vector of what is heard and one of what is known at each step.

        z_t = windows of `strides` steps, each window through one linear layer, with relu between them
        c_t = GRU(z_t, c_(t-1))                v = mean over time of c_t

A window ends where the next one begins, and c_t has seen nothing after its own: what a later z holds must be foretold. `layer` 0 gives
all z [n t d], 1 all c, each with a mask; without it a record is the mean of c. A last window that is not full is filled with the mean.
Kin: `convolution_1d` looks both ways and has no states; `gru` reads sequences of items.
Source: van den Oord et al. 2018 (arXiv 1807.03748), from memory: strides 5, 4, 2, 2, 2 with windows twice as long or
longer, 512 channels, then a GRU of 256 whose states are the features. Windows that do not overlap, and one width for all, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.arrays import Arrays
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.ragged import Ragged
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.series import MAX_CHANNELS, check_strides, prepared_series, sample_series
from nearfar.encoders.shared.settings import MAX_WIDTH, check_sizes, stored
from nearfar.maths.standardising import Standard, standard_of, stored_standard

CARD = Card(
    name="recurrent_series",
    summary="strided windows and a recurrent network over series and waves, with states of every step",
    related=("convolution_1d", "gru", "step_prediction"),
    reads=("series", "audio"),
    public=("RecurrentSeries",),
)


@dataclass(frozen=True)
class _Setup:
    dimension: int
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        check_sizes(self, dimension=MAX_WIDTH)
        check_strides(self.strides)


class RecurrentSeries(nn.Module):
    """See the file's text. `fit` makes one for records; all sides are treated alike."""

    def __init__(self, setup: _Setup, standard: Standard) -> None:
        super().__init__()
        self.setup, self.dimension, self.standard = setup, setup.dimension, standard
        self.mean, self.factor = (np.array(values) for values in standard)
        channels = [len(standard.mean)] + [setup.dimension] * len(setup.strides)
        self.windows = nn.ModuleList(
            nn.Conv1d(channels[i], setup.dimension, stride, stride=stride) for i, stride in enumerate(setup.strides)
        )
        self.recurrent = nn.GRU(setup.dimension, setup.dimension, batch_first=True)

    @classmethod
    def fit(
        cls, records: Mapping[str, Arrays], *, dimension: int = 64, strides: tuple[int, ...] = (4,), seed: int = 0
    ) -> RecurrentSeries:
        """An encoder with fresh weights for series [t] or [t c] like these, or waves [t].

        dimension  of steps, of states and of a record's vector
        strides    steps that each layer of windows makes one of; (5, 4, 2, 2, 2) for waves

        Mean and spread are those of at most 256 records of each side. Raises DataError for records that are no series, empty, of
        different channels, or with values that are not finite; UsageError for bad settings.
        """
        setup = _Setup(dimension, tuple(strides))
        standard, _ = standard_of(sample_series(records, missing=False), MAX_CHANNELS, "channels")
        with seeded(seed):
            return cls(setup, standard)

    def prepare(self, records: Arrays) -> Ragged:
        """Series as standardised steps [m c] of unequal numbers, float32; not of weights.

        Raises DataError, where="record i", for what is no series, empty, of other channels or not finite.
        """
        return prepared_series(records, self.mean, self.factor, missing=False)

    def forward(self, inputs: Ragged, side: str = "query", *, layer: int | None = None) -> Rows:
        """One row a record [n dimension], not normalised; of a layer, the vectors of all steps [n t dimension] and their mask."""
        if layer not in (None, 0, 1):
            raise UsageError(f"no layer {layer}", where="layer", remedy="0 for the steps, 1 for the states")
        values, real = inputs.to(next(self.parameters()).device).padded()
        steps = values.masked_fill(~real[..., None], 0).mT
        for number, (window, stride) in enumerate(zip(self.windows, self.setup.strides, strict=True)):
            count = ceil(steps.shape[2] / stride)
            real = real[:, ::stride]
            steps = window(functional.pad(steps if number == 0 else steps.relu(), (0, count * stride - steps.shape[2])))
            steps = steps.masked_fill(~real[:, None], 0)
        latent = steps.mT
        if layer == 0:
            return Rows(latent, mask=real)
        states, _ = self.recurrent(latent)
        states = states.masked_fill(~real[..., None], 0)
        return Rows(states, mask=real) if layer == 1 else Rows(states.sum(1) / real.sum(1, keepdim=True))

    def cost(self, inputs: Ragged) -> Tensor:
        """Steps of each record [n]: the work grows with them."""
        return inputs.lengths

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup) | to_json(self.standard._asdict())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RecurrentSeries:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        settings = dict(config)
        with stored("a recurrent network for series"):
            standard = stored_standard(settings.pop("mean", None), settings.pop("factor", None), MAX_CHANNELS)
            return cls(from_json(_Setup, settings), standard)
