"""Every objective that is no rule equals its naive loops, in loss and every gradient, plain and tiled; a wrong variant does not."""

import pytest
import torch

import nearfar as nf
from contract.naive import COMPOSED, module
from nearfar.objectives.composed import Objective


def outcome(loss, leaves):
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [loss.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True))]


def gap(first, second):
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def local_terms(objective):
    """Those that see outputs of an encoder, which their loops bring, and an objective of the others."""
    if not isinstance(objective, Objective) or not objective.local():
        return {}, objective
    terms = objective.on_rows()
    weights = {name: weight for name, weight in objective.weights.items() if name in terms}
    return objective.local(), Objective(terms, weights) if terms else None


@pytest.mark.parametrize("name", COMPOSED)
def test_equals_naive_loops(name):
    naive = module(name)
    objective, streams = naive.objective(), naive.streams()
    tables = {n: rows.vectors for n, rows in streams.items()}
    assert all(v.dtype == torch.float64 and v.is_leaf for v in tables.values())
    leaves = [v for v in tables.values() if v.requires_grad]
    leaves += naive.parameters(objective) if hasattr(naive, "parameters") else []
    truth = outcome(naive.loops(objective, streams), leaves)
    assert all(float(g.abs().max()) > 1e-6 for g in truth), "a leaf without influence proves nothing"
    first, *others = streams.items()
    names = {"x": first[1], "y": dict(others).get("y", first[1])}
    assert first[0] == "x", "the first stream is called x"
    local, on_rows = local_terms(objective)
    for tile in (None, 1, 4, "auto"):
        loss = sum(
            objective.weight(name, 0) * total / count
            for name, (total, count) in ((n, t.function(naive.outputs(streams))) for n, t in local.items())
        )
        if on_rows is not None:
            loss = loss + nf.contrast(on_rows, names["x"], names["y"], streams=dict(others), tile=tile)
        assert gap(outcome(loss, leaves), truth) < 1e-10, f"tile={tile}"
    assert gap(outcome(naive.wrong(objective, streams), leaves), truth) > 1e-4, "the wrong variant passes as right"
