"""Cross-entropy of a column in loops: every row's scores against every class, one by one."""

import torch
from harness import leaf

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.outputs import Outputs
from nearfar.testing.scalars import exp, log

PLACE, D, CLASSES = [2, 0, -1, 1, 2], 3, 3


def objective():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nf.column_cross_entropy(classes=CLASSES, column="place", features=D)
    made.function.double()
    return nf.Objective({"": made})


def streams():
    return {"x": nf.rows(leaf(len(PLACE), D, seed=0), place=PLACE)}


def outputs(streams):
    rows = streams["x"]
    projected = rows.with_vectors(-rows.vectors)  # what a head makes of them is not what is classified
    draws = Draws(0, 0, rows.columns["record"])
    return Outputs(rows=projected, features=rows.vectors, states=None, inputs=None, plain=None, draws=draws, tower=None)


def parameters(objective):
    return list(objective.terms[""].function.parameters())


def total(objective, streams, left_out):
    weight, bias = parameters(objective)
    losses = []
    for row, place in zip(streams["x"].vectors, PLACE, strict=True):
        if place < 0 and left_out:
            continue
        scores = [sum(a * b for a, b in zip(row, w, strict=True)) + b for w, b in zip(weight, bias, strict=True)]
        losses.append(log(sum(exp(s) for s in scores)) - scores[place])
    return sum(losses) / len(losses)


def loops(objective, streams):
    return total(objective, streams, True)


def wrong(objective, streams):
    """What is unknown counts as the last class."""
    return total(objective, streams, False)
