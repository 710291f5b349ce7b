"""PCR as loops: of the steps of a stream, each record's two looks against the proxy of every row of the step."""

import math

import numpy as np

from nearfar.core.stage import Fit
from nearfar.training.prepare import model_of, towers_of
from nearfar.training.replay import Replaying
from nearfar.training.state import State

TEMPERATURE = 0.09


def steps(made, upto):
    """(rows, proxies, loss, number within the task, task) of the first `upto` steps, as they were before each moved the weights."""
    recipe, records = made.recipe, made.records
    towers, heads = towers_of(recipe, records)
    (stage,) = recipe.stages
    assert not isinstance(stage, Fit)
    state = State(recipe, records, None, towers, heads, model_of(recipe, towers), None, {})
    at, found = Replaying(stage, state), []
    at.learner.train()
    for task, batches in enumerate(at.batches_of):
        for number in range(len(batches)):
            if len(found) == upto:
                return found
            proxies = at.proxies.proxies.vectors.detach().double().clone()
            step = at.take(task, number)
            found.append((step.rows["x"], proxies, float(step.loss), number, task))
    return found


def unit(vectors):
    return [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in vectors.double().tolist()]


def dot(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True))


def contrast(rows, proxies, *, once=False):
    """`once`: every class of the step has one proxy, however many rows it has."""
    x, w, label = unit(rows.vectors), unit(proxies), rows.columns["label"].tolist()
    meets = sorted(set(label)) if once else label
    total = 0.0
    for row, own in zip(x, label, strict=True):
        below = sum(math.exp(dot(row, w[other]) / TEMPERATURE) for other in meets)
        total += math.log(below) - dot(row, w[own]) / TEMPERATURE
    return total / len(x)


def ours(made):
    found = steps(made, 4)
    rows = found[3][0]
    assert rows.columns["view"].tolist() == [0, 1] * (len(rows) // 2)
    assert np.unique(rows.columns["record"]).size == len(rows) // 2
    assert rows.columns["replayed"].any()
    assert not found[0][0].columns["replayed"].any()
    assert np.array_equal(found[0][1], found[1][1]), "nothing is learned while the memory is empty"
    return [loss for _, _, loss, _, _ in found]


def loops(made):
    return [contrast(rows, proxies) for rows, proxies, *_ in steps(made, 4)]


def wrong(made):
    """Every class once."""
    return [contrast(rows, proxies, once=True) for rows, proxies, *_ in steps(made, 4)]
