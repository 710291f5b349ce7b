"""Confused values: a linear map foretells a value, and records that it takes for alike although they are not are pushed apart.

        regression   mean of r_i |y_i - p_i|,   p_i = w z_i + b
        contrast     l_i = r_i / |P_i|  sum over p in P_i of [ - s_ip + log( sum over P_i of exp(s) + sum over n in N_i of r_i exp(gain |y_i - y_n|) exp(s_in) ) ]
                     l_i = 0 where nothing is confused (N_i is empty), and it counts

        P_i  other rows with |y - y_i| <= window       N_i  rows with |y - y_i| > window, and yet |p - p_i| <= window

r is a column of weights, such as one over the frequency of the value; without one, 1. The predictions p in the contrast are without gradient, of the
map as it is at the step. As the map gets better nothing is confused any more, and the term fades. Weight 0 is regression alone.
The map is learned beside the encoder and belongs to the objective.
Kin: `graded_negatives` weighs all negatives by the distance of values, foretold or not; `graded` grades the positives.
Source: Keramati et al. 2023 (arXiv 2309.06651) by the authors' code for ages: temperature 0.07; gain 0.01, window 1 and weight 4 there are of ages
in years and have no meaning for other units, so they have no defaults here but those for values of a spread of about one. Their denominator
also counts exp(0) for every column that is no positive, which is an artefact of masking and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.outputs import Outputs
from nearfar.core.predicate import Columns, Itself, Within, apart, read
from nearfar.core.relation import Relation, keep
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean
from nearfar.objectives.composed import Local, Objective
from nearfar.objectives.scored import Scored

CARD = Card(
    name="confused_values",
    summary="regression by a linear map, and contrast with those that it takes for alike although they are not",
    related=("graded_negatives", "graded", "info_nce"),
    needs_columns=("record", "value"),
)

PREDICTED = "predicted"


@dataclass(frozen=True)
class Confused(Relation):
    """Near values: positive; far values that are foretold alike: negative by their distance; all else and the row itself: left out."""

    window: float
    gain: float
    column: str
    rarity: str

    def block(self, queries: Columns, keys: Columns) -> Block:
        near = Within(self.column, self.window)(queries, keys)
        alike = Within(PREDICTED, self.window)(queries, keys)
        distance = apart(read(queries, self.column, "queries"), read(keys, self.column, "keys"))
        weight = (self.gain * distance).exp()
        if self.rarity:
            weight = weight * read(queries, self.rarity, "queries").to(weight.dtype)[:, None]
        return Block(near & ~Itself()(queries, keys), keep(weight, alike & ~near))


@rule(Card(name="where_confused", summary="InfoNCE of rows with a negative, zero for the others", needs=("positive",)))
def where_confused(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """As `info_nce`, but a row without a negative has lost nothing, and is counted."""
    loss = log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)
    return loss.where(block.has_negative, 0)


class LinearValue(nn.Module):
    """The map from vectors to a value, and the terms that it is in."""

    def __init__(self, dimension: int, column: str, rarity: str) -> None:
        super().__init__()
        self.map = nn.Linear(dimension, 1)
        self.column, self.rarity = column, rarity

    def forward(self, vectors: Float[Tensor, "r d"]) -> Float[Tensor, " r"]:
        """What is foretold."""
        return self.map(vectors)[:, 0]

    def regression(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Absolute errors, summed, and how many."""
        table = outputs.rows
        error = (self(table.vectors) - read(table.columns, self.column, "rows")).abs()
        return (error * self._weight(table)).sum(), torch.tensor(len(table), device=error.device)

    def with_predictions(self, table: Rows) -> Rows:
        """The rows with a column of what is foretold for them."""
        with torch.no_grad():
            return table.with_columns(**{PREDICTED: self(table.vectors)})

    def weight(self, queries: Rows, keys: Rows) -> Tensor:
        """Of each query [q]."""
        return self._weight(queries)

    def _weight(self, table: Rows) -> Tensor:
        if not self.rarity:
            return table.vectors.new_ones(len(table))
        return read(table.columns, self.rarity, "rows").to(table.vectors.dtype)


def confused_values(
    dimension: int,
    *,
    window: float = 0.1,
    gain: float = 0.2,
    weight: float = 0.25,
    temperature: float = 0.07,
    column: str = "value",
    rarity: str = "",
    stream: str = "x",
) -> Objective:
    """The two terms, "regression" and "contrast", on one stream [r d].

    dimension   of the vectors
    window      how far apart values may be and still count as alike; both in the unit of the values
    gain        how fast the weight of a negative grows with the distance of values
    weight      of the contrast
    column      of the values
    rarity      a column of weights of the records; "" for none

    Raises UsageError for numbers out of range, and, when it is computed, for columns that the rows lack.

    >>> import torch, nearfar as nf
    >>> made = nf.confused_values(4)
    >>> sorted(made.terms), made.weight("contrast", 0)
    (['contrast', 'regression'], 0.25)
    """
    if window < 0 or gain < 0 or weight < 0 or not temperature > 0:
        raise UsageError(
            f"window {window}, gain {gain}, weight {weight}, temperature {temperature}",
            where="confused_values",
            remedy="give a temperature above zero, and zero or more of the others",
        )
    value = LinearValue(dimension, column, rarity)
    contrast = Scored(
        where_confused,
        Confused(window, gain, column, rarity),
        temperature=temperature,
        head=value.with_predictions,
        weight=value.weight,
        queries_from=stream,
        keys_from=None,
    )
    return Objective({"regression": Local(value.regression, stream), "contrast": contrast}, {"contrast": weight})
