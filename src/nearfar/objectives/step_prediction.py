"""Step prediction: the state at each step of a sequence tells the vectors of later steps among those of all others, one map a distance.

        s_j = z_j . W_k c_t            z: steps, c_t: what is known of steps up to t, W_k: learned, one for each k = 1 .. K
        l_tk = - s_(t+k) + log sum_j exp(s_j)              j: step t + k of the same sequence, and the negatives

Products as they are, at temperature 1. The mean is over sequences, steps that have a step k later, and distances k. Negatives are all
steps of other sequences, all other steps of the same one, or both. Those of other sequences can be told by what a whole sequence has
in common (a speaker, a loudness); those of the same one cannot, but they are no draws from all steps, so that log n - loss bounds no
information then.
Kin: `temporal` (a relation) holds near steps for alike, without an order or a map; `info_nce` is the rule.
Source: van den Oord et al. 2018 (arXiv 1807.03748): bilinear scores, K = 12, from memory; no code of the authors is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.draws import normal
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns, Same, read
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.similarity import dot
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean
from nearfar.objectives.composed import Objective
from nearfar.objectives.scored import Scored

CARD = Card(
    name="step_prediction",
    summary="the state at each step tells the vectors of later steps among others, one bilinear map a distance",
    related=("temporal", "info_nce", "recurrent_series"),
)
NEEDS = Card(name="step_prediction", summary="a step needs its later one", needs=("positive",))

From = Literal["others", "same", "both"]


@dataclass(frozen=True)
class Ahead(Relation):
    """The step `distance` later in the same sequence is the positive; the negatives are steps of others, of the same one, or both."""

    distance: int
    negatives: From

    def block(self, queries: Columns, keys: Columns) -> Block:
        together = Same("record")(queries, keys)
        later = read(keys, "time", "keys")[None, :] - read(queries, "time", "queries")[:, None]
        pos = together & (later == self.distance)
        neg = {"others": ~together, "same": together & ~pos, "both": ~pos}[self.negatives]
        return Block(pos, neg)


class Maps(nn.Module):
    """One learned map [dimension dimension] a distance."""

    def __init__(self, steps: int, dimension: int, seed: int) -> None:
        super().__init__()
        numbers = torch.arange(steps * dimension)[:, None]
        drawn = normal(seed, "maps", numbers, torch.arange(dimension)) / dimension**0.5
        self.weight = nn.Parameter(drawn.reshape(steps, dimension, dimension).to(torch.get_default_dtype()))

    def predicted(self, distance: int, table: Rows) -> Rows:
        """What the states [n t d] expect `distance` steps later, a row a step."""
        states = one_a_step(table)
        return states.with_vectors(states.vectors @ self.weight[distance - 1].T)


def one_a_step(table: Rows) -> Rows:
    """Rows [n t d] as a row for each real step, with columns `record` and `time`."""
    if table.vectors.ndim != 3:
        raise UsageError(
            f"step prediction of vectors of shape {list(table.vectors.shape)}",
            where="step_prediction",
            remedy="give a vector a step [n t d]: an encoder that offers its layers, such as recurrent_series",
        )
    n, steps = table.vectors.shape[:2]
    real = table.vectors.new_ones(n, steps) if table.mask is None else table.mask
    number, time = real.bool().nonzero(as_tuple=True)
    record = read(table.columns, "record", "rows")[number]
    return Rows(table.vectors[number, time], {"record": record, "time": time})


@rule(NEEDS)
def _among(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    return log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)


def step_prediction(
    steps: int = 12, *, negatives: From = "both", dimension: int, seed: int = 0, states: str = "x", latent: str = "y"
) -> Objective:
    """A term for each distance 1 to `steps`, "ahead 1" and on, each with weight 1 / steps.

    negatives  steps of "others" sequences, of the "same" one, or "both"
    dimension  of states and steps
    states     the stream [n t d] of what is known up to each step; `latent` that of the steps themselves

    A sequence shorter than the distance has no term of it. Raises UsageError for fewer than one step or an unknown kind of negatives.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.zeros(2, 4, 8))                      # two sequences of four steps; nothing is known
    >>> loss = nf.contrast(nf.step_prediction(1, dimension=8), x, x)
    >>> round(loss.item(), 4)                                  # the next one among eight: log 8
    2.0794
    """
    if steps < 1 or dimension < 1 or negatives not in ("others", "same", "both"):
        raise UsageError(
            f"step prediction of {steps} steps in {dimension} dimensions against {negatives!r}",
            where="step_prediction",
            remedy='give at least one step and dimension, and negatives of "others", the "same" sequence or "both"',
        )
    maps = Maps(steps, dimension, seed)

    def term(distance: int) -> Scored:
        head: Callable[[Rows], Rows] = partial(maps.predicted, distance)
        relation = Ahead(distance, negatives)
        return Scored(
            _among, relation, similarity=dot, head=head, key_head=one_a_step, queries_from=states, keys_from=latent
        )

    terms = {f"ahead {k}": term(k) for k in range(1, steps + 1)}
    return Objective(terms, dict.fromkeys(terms, 1 / steps))
