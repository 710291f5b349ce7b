"""One-dimensional convolutions: series of unequal length, with any number of channels, and sound waves.

        h_0 = strided convolutions of the standardised steps (none: a map of the channels)
        h_i = h_(i-1) + conv(gelu(norm(conv(gelu(norm(h_(i-1)))))))        kernels with gaps of 2^(i-1) steps, i = 1 .. layers
        v   = the largest or the mean over time of  W gelu(norm(h_layers)) + b

Gaps that double see 2 (kernel - 1) (2^layers - 1) + 1 steps around each step at the cost of a few layers. A wave has thousands of steps
and needs `strides` first: (5, 4, 4) turns 8,000 samples a second into 100 steps. Padding is invisible: it is zero before every
convolution, and group norm and pooling leave it out, so a record's vector is the same alone and in any batch.

Values are standardised by the mean and spread of each channel over the records that `fit` saw; a channel that never varied there is
ignored. Missing values (NaN): where `fit` found some, the encoder has a second channel for each, which says what was observed, and
a missing value counts as the mean; where it found none, a NaN is an error that names the record.
Kin: `mlp` for numbers without an order.
Source: Yue et al. 2022 (TS2Vec, arXiv 2106.10466): residual blocks of two convolutions, kernel 3, doubled gaps, 64 channels between, the
largest value over time; there 10 blocks and 320 dimensions, without norms. Strides as in wav2vec (arXiv 1904.05862), which has group
norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.arrays import Arrays
from nearfar.core.card import Card
from nearfar.core.ragged import Ragged
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.series import MAX_CHANNELS, check_strides, prepared_series, sample_series
from nearfar.encoders.shared.settings import check_choice, check_sizes, stored
from nearfar.maths.masked_group_norm import MaskedGroupNorm
from nearfar.maths.standardising import Standard, standard_of, stored_standard

CARD = Card(
    name="convolution_1d",
    summary="dilated 1-d convolutions with group norm: series of unequal length, sound waves",
    related=("mlp",),
    reads=("series", "audio"),
    public=("Convolution1d",),
)

MAX_WIDTH, MAX_LAYERS, MAX_KERNEL = 16_384, 16, 101
GROUP = 8  # channels of one group, where they divide


@dataclass(frozen=True)
class _Setup:
    dimension: int
    hidden: int
    layers: int
    kernel: int
    strides: tuple[int, ...]
    pooling: str
    missing: bool

    def __post_init__(self) -> None:
        check_sizes(self, dimension=MAX_WIDTH, hidden=MAX_WIDTH, layers=MAX_LAYERS, kernel=MAX_KERNEL)
        check_choice("pooling", self.pooling, ("max", "mean"))
        check_strides(self.strides)


class Convolution1d(nn.Module):
    """See the file's text. `fit` makes one for records; all sides are treated alike."""

    def __init__(self, setup: _Setup, standard: Standard) -> None:
        super().__init__()
        self.setup, self.dimension, self.standard = setup, setup.dimension, standard
        self.mean, self.factor = (np.array(values) for values in standard)
        hidden, strides = setup.hidden, setup.strides
        channels = len(standard.mean) * (2 if setup.missing else 1)
        sizes = [channels, *[hidden] * max(1, len(strides))]
        # Without strides a kernel of one: every step by itself.
        steps = [(2 * stride, stride, 1) for stride in strides] or [(1, 1, 1)]
        self.stem = nn.ModuleList(_Convolution(a, hidden, *step) for a, step in zip(sizes, steps, strict=False))
        self.stem_norms = nn.ModuleList(_norm(hidden) for _ in steps[1:])
        self.blocks = nn.ModuleList(_Block(hidden, setup.kernel, 2**i) for i in range(setup.layers))
        self.norm = _norm(hidden)
        self.last = nn.Linear(hidden, setup.dimension)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Arrays],
        *,
        dimension: int = 128,
        hidden: int = 64,
        layers: int = 6,
        kernel: int = 3,
        strides: tuple[int, ...] = (),
        pooling: str = "max",
        missing: bool | None = None,
        seed: int = 0,
    ) -> Convolution1d:
        """An encoder with fresh weights for series [t] or [t c] like these, or waves [t].

        dimension  length of a vector
        hidden     channels between
        layers     residual blocks, the i-th with gaps of 2^(i-1) steps
        kernel     steps that a convolution reads
        strides    of convolutions before the blocks, each making the series shorter by its factor: for waves
        pooling    "max" or "mean" over time
        missing    whether records may have missing values (NaN); None: as found in the records

        Mean, spread and missing values are those of at most 256 records of each side, evenly spaced, of all channels alone.
        Raises DataError for records that are no series, empty, of different channels or infinite; UsageError for bad settings.
        """
        setup = _Setup(dimension, hidden, layers, kernel, tuple(strides), pooling, bool(missing))
        standard, holes = standard_of(sample_series(records, missing=True), MAX_CHANNELS, "channels")
        with seeded(seed):
            return cls(replace(setup, missing=holes if missing is None else missing), standard)

    def prepare(self, records: Arrays) -> Ragged:
        """Series as standardised steps [m c] of unequal numbers, float32, NaN where missing; not of weights.

        Raises DataError, where="record i", for what is no series, empty, of other channels, infinite, or has missing values
        where the encoder knows none.
        """
        return prepared_series(records, self.mean, self.factor, missing=self.setup.missing)

    def forward(self, inputs: Ragged, side: str = "query") -> Rows:
        """One row a record: vectors [n dimension], not normalised. Padded here, to the longest of these records."""
        values, real = inputs.to(self.last.weight.device).padded()
        seen = ~values.isnan() & real[..., None]
        values = torch.where(seen, values, 0)
        if self.setup.missing:
            values = torch.cat([values, seen.to(values.dtype)], dim=2)
        states, mask = values.mT, real[:, None]
        for i, convolution in enumerate(self.stem):
            if i:
                states = functional.gelu(self.stem_norms[i - 1](states, mask))
            states, mask = convolution(states, mask)
        for block in self.blocks:
            states = block(states, mask)
        steps = self.last(functional.gelu(self.norm(states, mask)).mT)
        return Rows(self._pooled(steps, mask[:, 0, :, None]))

    def _pooled(self, steps: Tensor, real: Tensor) -> Tensor:
        if self.setup.pooling == "max":
            return steps.masked_fill(~real, -math.inf).amax(1)
        return steps.masked_fill(~real, 0).sum(1) / real.sum(1)

    def cost(self, inputs: Ragged) -> Tensor:
        """Steps of each record [n]: the work grows with them."""
        return inputs.lengths

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup) | to_json(self.standard._asdict())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Convolution1d:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        settings = dict(config)
        with stored("1-d convolutions"):
            standard = stored_standard(settings.pop("mean", None), settings.pop("factor", None), MAX_CHANNELS)
            return cls(from_json(_Setup, settings), standard)


class _Convolution(nn.Module):
    """A convolution that gives ceil(t / stride) steps, whatever is padding being zero before and after."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, gap: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.gap = kernel, stride, gap
        self.inner = nn.Conv1d(channels, out, kernel, stride=stride, dilation=gap)

    def forward(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        length, reach = states.shape[2], (self.kernel - 1) * self.gap
        last = (math.ceil(length / self.stride) - 1) * self.stride  # the step that the last window starts from
        left = (reach - self.stride + 1) // 2 if self.stride > 1 else reach // 2
        right = last + reach + 1 - length - left
        shorter = mask[:, :, :: self.stride]
        return self.inner(functional.pad(states, (left, right))).masked_fill(~shorter, 0), shorter


class _Block(nn.Module):
    """Two convolutions with gaps, each after norm and activation, added to what came in."""

    def __init__(self, hidden: int, kernel: int, gap: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(_norm(hidden) for _ in range(2))
        self.convolutions = nn.ModuleList(_Convolution(hidden, hidden, kernel, 1, gap) for _ in range(2))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        made = states
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            made, _ = convolution(functional.gelu(norm(made, mask)), mask)
        return states + made


def _norm(hidden: int) -> MaskedGroupNorm:
    return MaskedGroupNorm(hidden // GROUP if hidden % GROUP == 0 else 1, hidden)
