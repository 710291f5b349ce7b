"""Feature reconstruction in loops over nodes and features."""

import torch

import nearfar as nf
from graph_terms import GRAPHS, D, outputs, streams

__all__ = ["outputs", "streams"]


def objective():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nf.feature_reconstruction(dimension=D, features=5, hidden=4)
    made.function.double()
    return nf.Objective({"": made})


def parameters(objective):
    return list(objective.terms[""].function.parameters())


def total(objective, streams, hidden_relu):
    first_w, first_b, last_w, last_b = parameters(objective)
    truth = [row for graph in GRAPHS for row in graph.x.double()]
    error = 0.0
    for z, x in zip(streams["x"].vectors, truth, strict=True):
        hidden = [sum(a * b for a, b in zip(w, z, strict=True)) + c for w, c in zip(first_w, first_b, strict=True)]
        hidden = [h.clamp_min(0) if hidden_relu else h for h in hidden]
        made = [sum(a * b for a, b in zip(w, hidden, strict=True)) + c for w, c in zip(last_w, last_b, strict=True)]
        error = error + sum((m - f) * (m - f) for m, f in zip(made, x, strict=True))
    return error / (len(truth) * 5)


def loops(objective, streams):
    return total(objective, streams, True)


def wrong(objective, streams):
    """A linear decoder."""
    return total(objective, streams, False)
