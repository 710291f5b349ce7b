"""The second step of a recipe with a memory, whose queue holds the keys of the first; nothing is optimised between the two.

A fresh network gives all records nearly one vector, and a loss that mixes the wrong keys would hardly differ. So the vectors of each
step are taken apart: less their mean, brought to length one, in float64.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nearfar as nf


@dataclass(frozen=True)
class Second:
    """Queries x and keys y of the second step, the keys of the first, and the objective with the state that it has then."""

    x: nf.Rows
    y: nf.Rows
    past: nf.Rows
    objective: nf.Objective
    loss: float

    def rivals(self) -> list[list[int]]:
        """For each query the numbers of the past keys that are negatives: those of other records."""
        theirs = self.past.columns["record"].tolist()
        return [[j for j, who in enumerate(theirs) if who != mine] for mine in self.x.columns["record"].tolist()]

    def term(self, name: str = "") -> Any:
        """A term of the objective."""
        return self.objective.terms[name]


def apart(rows):
    """The same rows, their vectors spread over the sphere."""
    vectors = rows.vectors.detach().double()
    return nf.unit(rows.with_vectors(vectors - vectors.mean(0)))


@lru_cache(maxsize=1)
def second_step(made):
    """The second step of a `FirstStep`."""
    learner = made.prepared.learner
    second = nf.backward(learner.at_this_step(), made.prepared.batches.streams(1)).rows
    learner.terms.double()
    first, second = ({name: apart(rows) for name, rows in step.items()} for step in (made.rows, second))
    objective = learner.at_this_step()
    nf.update_state(objective, first)
    loss = float(nf.contrast(objective, second["x"], second["y"]).detach())
    return Second(second["x"], second["y"], first["y"], objective, loss)


def first_two(made):
    """The losses of the first step, when the queue is empty and nothing is lost, and of the second."""
    return [made.loss, second_step(made).loss]


def against(positive, scores):
    """InfoNCE of one positive: minus the logarithm of its share among itself and some scores."""
    return math.log(math.exp(positive) + sum(map(math.exp, scores))) - positive
