"""The second step of a recipe with a memory, nothing optimised between the two: its queue holds the keys of the first."""

import math
from functools import lru_cache

import nearfar as nf


@lru_cache(maxsize=1)
def second_step(made):
    """What `nf.backward` gave at the second step; the objective's state has moved once. `made` is a `FirstStep`."""
    objective = made.prepared.learner.at_this_step()
    nf.update_state(objective, made.rows)
    return nf.backward(objective, made.prepared.batches.streams(1))


def unit(rows):
    """Vectors of length one, in double precision."""
    vectors = rows.vectors.detach().double()
    return vectors / vectors.norm(dim=1, keepdim=True)


def term(made, name=""):
    """A term of the objective, with the state that it has now."""
    return made.prepared.learner.at_this_step().terms[name]


def rivals(made):
    """For each query of the second step the numbers of the keys of the first that are negatives: those of other records."""
    mine, theirs = (rows.columns["record"].tolist() for rows in (second_step(made).rows["x"], made.rows["y"]))
    return [[j for j, who in enumerate(theirs) if who != record] for record in mine]


def first_two(made):
    """The losses of the first two steps; at the first one the queue is empty, and nothing is lost."""
    return [made.loss, float(second_step(made).loss)]


def against(positive, scores):
    """InfoNCE of one positive: minus the logarithm of its share among itself and some scores."""
    return math.log(math.exp(positive) + sum(map(math.exp, scores))) - positive
