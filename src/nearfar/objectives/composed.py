"""An objective: a sum of named terms, each with a weight that may follow a schedule.

Four kinds of term make every system: `Scored` (a rule on rows of scores), `Aligned` (one score a pair and a target: regression
on similarity, distillation), `OnRows` (a function of whole tables of vectors: Barlow, whitening, Sinkhorn codes) and `Local`
(one record's own loss: reconstruction, masked tokens; it sees one micro-batch with its graph).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.objectives.scored import Scored

Schedule = float | Callable[[int], float]


@dataclass(frozen=True, eq=False)
class Aligned:
    """One score an aligned pair and a target: `loss(scores [n], target [n]) -> [n]`, mean over pairs.

    `target` names a column of the queries; without one the loss is `loss(scores)`. `similarity(x, y)` scores row i against
    row i, the cosine unless told.
    """

    loss: Callable[..., Tensor]
    target: str | None = None
    similarity: Callable[[Tensor, Tensor], Tensor] | None = None
    queries_from: str = "x"
    keys_from: str = "y"


@dataclass(frozen=True, eq=False)
class OnRows:
    """A function of whole tables of the global batch, Rows of each named stream -> scalar; never cut into tiles.

    `state` are modules whose `update` gets the tables of these streams once a step, after the optimiser.
    """

    function: Callable[..., Tensor]
    streams: tuple[str, ...] = ("x", "y")
    state: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Local:
    """A loss of single records: `function(outputs of one micro-batch) -> (sum, count)`, both with the micro-batch's graph.

    It sees what the encoder of `stream` returns beside its rows: `encode(inputs) -> (rows, outputs)`; or just the rows. In a recipe
    it sees a `nearfar.core.outputs.Outputs`. What it draws from torch's generator is the same in both passes.
    """

    function: Callable[[Any], tuple[Tensor, Tensor]]
    stream: str = "x"


AnyTerm = Scored | Aligned | OnRows | Local


@dataclass(frozen=True, eq=False)
class Objective:
    """Named terms and their weights (1 unless given; a schedule is a function of the step)."""

    terms: Mapping[str, AnyTerm]
    weights: Mapping[str, Schedule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.weights) - set(self.terms)):
            raise UsageError(
                f"weights for terms that do not exist: {unknown}", remedy=f"the terms are {sorted(self.terms)}"
            )

    def weight(self, name: str, step: int) -> float:
        """The weight of a term at a step."""
        weight = self.weights.get(name, 1.0)
        return float(weight(step)) if callable(weight) else float(weight)

    def at_this_step(self) -> Objective:
        """The objective with what is learned as it is now: made before each step, so that it may be built once."""
        terms = {n: t.at_this_step() if isinstance(t, Scored) else t for n, t in self.terms.items()}
        return Objective(terms, self.weights)

    def on_rows(self) -> dict[str, Scored | Aligned | OnRows]:
        """The terms that see the rows of the global batch."""
        return {k: t for k, t in self.terms.items() if not isinstance(t, Local)}

    def local(self) -> dict[str, Local]:
        """The terms that see one micro-batch."""
        return {k: t for k, t in self.terms.items() if isinstance(t, Local)}


def stream(streams: Mapping[str, Rows], name: str) -> Rows:
    """A named table of rows, or an error that lists those there are."""
    if name not in streams:
        raise UsageError(f"no stream {name!r}; there are {sorted(streams)}", remedy="name one of them in the term")
    return streams[name]
