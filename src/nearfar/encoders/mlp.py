"""Multilayer perceptron: rows of a table - any fixed number of features - through linear layers.

        h_0 = (x - mean) / std        h_i = act(norm(W_i h_(i-1) + b_i))        v = W_L h_(L-1) + b_L

Mean and spread are those of the records that `fit` saw, kept in the configuration as exact numbers; a feature that never varied there
is ignored. Missing values are refused: fill them, or make them a category of their own; the encoder will not guess. Categories must be
numbers already, one feature each (one-hot). Kin: `convolution_1d` for numbers in an order.
Source: Bahri et al. 2022 (SCARF, arXiv 2106.15147): 4 layers of 256 with ReLU, no norm: the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.core.arrays import Arrays, as_floats
from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.rows import Rows
from nearfar.maths.layers import checked_sizes, is_size, perceptron
from nearfar.maths.standardising import Moments, is_standard, standardised

CARD = Card(
    name="mlp",
    summary="linear layers over standardised features: rows of a table",
    related=("convolution_1d",),
    reads=("table",),
    public=("Mlp",),
)

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
MAX_FEATURES = 100_000
MAX_WIDTH, MAX_LAYERS = 65_536, 100  # of a stored configuration: it must not ask for all memory


class Mlp(nn.Module):
    """See the file's text. `fit` makes one for a table; all sides are treated alike."""

    def __init__(
        self,
        mean: Sequence[float],
        factor: Sequence[float],
        *,
        dimension: int,
        hidden: int,
        layers: int,
        activation: str,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        self.mean, self.factor = np.array(mean, dtype=np.float64), np.array(factor, dtype=np.float64)
        self.dimension, self.hidden, self.activation, self.layer_norm = dimension, hidden, activation, layer_norm
        self.depth = layers
        norm = nn.LayerNorm if layer_norm else None
        parts = perceptron(len(mean), hidden, dimension, layers, norm=norm, activation=ACTIVATIONS[activation])
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
        checked_sizes(MAX_WIDTH, dimension=dimension, hidden=hidden)
        checked_sizes(MAX_LAYERS, layers=layers)
        if activation not in ACTIVATIONS:
            raise UsageError(f"no activation {activation!r}", where="activation", remedy=f"of {', '.join(ACTIVATIONS)}")
        found: Moments | None = None
        for side in sorted(records):
            table = _table(records[side], None if found is None else len(found.mean))
            if len(table):
                found = found or Moments(table.shape[1])
                found.add(table)
        if found is None:
            raise DataError("there are no records to fit the encoder on", remedy="give at least one")
        if len(found.mean) > MAX_FEATURES:
            raise DataError(f"rows of {len(found.mean):,} features", remedy=f"give at most {MAX_FEATURES:,}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(
                found.mean.tolist(),
                found.factor().tolist(),
                dimension=dimension,
                hidden=hidden,
                layers=layers,
                activation=activation,
                layer_norm=layer_norm,
            )

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
        return {
            "mean": self.mean.tolist(),
            "factor": self.factor.tolist(),
            "dimension": self.dimension,
            "hidden": self.hidden,
            "layers": self.depth,
            "activation": self.activation,
            "layer_norm": self.layer_norm,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Mlp:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        found = {name: config.get(name) for name in cls._SETTINGS}
        sound = (
            is_standard(config.get("mean"), config.get("factor"), MAX_FEATURES)
            and is_size(found["dimension"], MAX_WIDTH)
            and is_size(found["hidden"], MAX_WIDTH)
            and is_size(found["layers"], MAX_LAYERS)
            and found["activation"] in list(ACTIVATIONS)
            and isinstance(found["layer_norm"], bool)
        )
        if not sound:
            raise DataError(
                "this is no configuration of a multilayer perceptron",
                where="encoders",
                remedy="the model is damaged; save it anew",
            )
        made: dict[str, Any] = found
        return cls(config["mean"], config["factor"], **made)

    _SETTINGS = ("dimension", "hidden", "layers", "activation", "layer_norm")


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
