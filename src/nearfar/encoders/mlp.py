"""Multilayer perceptron: rows of a table - any fixed number of features - through linear layers.

        h_0 = (x - mean) / std        h_i = act(norm(W_i h_(i-1) + b_i))        v = W_L h_(L-1) + b_L

Mean and spread are those of the records that `fit` saw, kept in the configuration as exact numbers; a feature that never varied there
is ignored. Missing values are refused: fill them, or make them a category of their own; the encoder will not guess. Categories must be
numbers already, one feature each (one-hot). Kin: `convolution_1d` for numbers in an order.
Source: Bahri et al. 2022 (SCARF, arXiv 2106.15147): 4 layers of 256 with ReLU, no norm: the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from nearfar.encoders.shared.settings import MAX_WIDTH, check_choice, check_sizes, stored
from nearfar.maths.layers import perceptron
from nearfar.maths.standardising import Standard, standard_of, standardised, stored_standard

CARD = Card(
    name="mlp",
    summary="linear layers over standardised features: rows of a table",
    related=("convolution_1d",),
    reads=("table",),
    public=("Mlp",),
)

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
MAX_FEATURES, MAX_LAYERS = 100_000, 100  # of a stored configuration: it must not ask for all memory


@dataclass(frozen=True)
class _Setup:
    dimension: int
    hidden: int
    layers: int
    activation: str
    layer_norm: bool

    def __post_init__(self) -> None:
        check_sizes(self, dimension=MAX_WIDTH, hidden=MAX_WIDTH, layers=MAX_LAYERS)
        check_choice("activation", self.activation, list(ACTIVATIONS))


class Mlp(nn.Module):
    """See the file's text. `fit` makes one for a table; all sides are treated alike."""

    def __init__(self, setup: _Setup, standard: Standard) -> None:
        super().__init__()
        self.setup, self.dimension, self.standard = setup, setup.dimension, standard
        self.mean, self.factor = (np.array(values) for values in standard)
        parts = perceptron(
            len(standard.mean),
            setup.hidden,
            setup.dimension,
            setup.layers,
            norm=nn.LayerNorm if setup.layer_norm else None,
            activation=ACTIVATIONS[setup.activation],
        )
        self.layers = nn.Sequential(*parts)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Arrays],
        *,
        dimension: int = 256,
        hidden: int = 256,
        layers: int = 4,
        activation: str = "relu",
        layer_norm: bool = False,
        seed: int = 0,
    ) -> Mlp:
        """An encoder with fresh weights for rows like these; the mean and spread of each feature are taken from all sides.

        dimension   length of a vector
        hidden      width of the layers between
        layers      number of linear layers, the last included; 1 is a linear map
        activation  "relu", "gelu", "silu" or "tanh"
        layer_norm  layer norm before each activation: of a record's own values, so a record's vector stays its own

        Raises DataError for rows that are no numbers, of unequal length, or not finite; UsageError for sizes below one.
        """
        setup = _Setup(dimension, hidden, layers, activation, layer_norm)
        standard, _ = standard_of(_tables(records), MAX_FEATURES, "features")
        with seeded(seed):
            return cls(setup, standard)

    @property
    def numbers(self) -> int:
        """Of the inputs of one record."""
        return len(self.mean)

    def prepare(self, records: Arrays) -> Tensor:
        """Rows as standardised features [n f], float32: a function of the rows and of what `fit` found, not of weights.

        Raises DataError, where="record i", for a row of another length, or with a value that is missing or not finite.
        """
        table = _table(records, len(self.mean))
        try:
            return torch.from_numpy(standardised(table, self.mean, self.factor, "a record"))
        except DataError:
            for number, row in enumerate(table):  # to name the one
                standardised(row[None], self.mean, self.factor, f"record {number}")
            raise

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row a record: vectors [n dimension], not normalised."""
        return Rows(self.layers(inputs.to(next(self.parameters()).device)))

    def cost(self, inputs: Tensor) -> Tensor:
        """[n] ones: all rows cost the same."""
        return torch.ones(len(inputs))

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup) | to_json(self.standard._asdict())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Mlp:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        settings = dict(config)
        with stored("a multilayer perceptron"):
            standard = stored_standard(settings.pop("mean", None), settings.pop("factor", None), MAX_FEATURES)
            return cls(from_json(_Setup, settings), standard)


def _tables(records: Mapping[str, Arrays]) -> Iterator[np.ndarray]:
    """The records of each side that has any; all have as many features as the first."""
    width = None
    for side in sorted(records):
        table = _table(records[side], width)
        if len(table):
            width = table.shape[1]
            yield table


def _table(records: Arrays, width: int | None) -> np.ndarray:
    """Records as a table [n f] of finite numbers; all have `width` features, or as many as the first."""
    rows = []
    for number, record in enumerate(records):
        row = as_floats(record, number, (1,), "a row of numbers")
        width = width or len(row)
        if len(row) != width:
            raise DataError(
                f"a row of {len(row)} features, where others have {width}",
                where=f"record {number}",
                remedy="give rows of one table",
            )
        if not np.isfinite(row).all():
            feature = int((~np.isfinite(row)).argmax())
            raise DataError(
                f"feature {feature} is {row[feature]}, which is no number to compute with",
                where=f"record {number}",
                remedy="fill missing values (with the median, say), or leave the record out",
            )
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, width or 0))
