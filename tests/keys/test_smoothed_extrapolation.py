"""Smoothed extrapolation (Hallucinator) against naive loops: loss and gradients of queries, keys and network, and its errors."""

import pytest
import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError

N, D, T = 6, 3, 0.2
RECORD = [40, 3, 17, 5, 21, 8]


def row_through(network, row):
    """Linear layers with relu between, one number at a time."""
    layers = [layer for layer in network if hasattr(layer, "weight")]
    for place, layer in enumerate(layers):
        row = torch.stack(
            [
                sum(w * v for w, v in zip(ws, row, strict=True)) + b
                for ws, b in zip(layer.weight, layer.bias, strict=True)
            ]
        )
        row = row if place == len(layers) - 1 else row.clamp_min(0)
    return row


def test_smoothed_extrapolation():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
    further = nf.smoothed_extrapolation(dimension=D, spread=0.8, seed=2).double()
    further.update()

    def run(tile):
        queries, keys = nf.rows(x, record=RECORD), nf.rows(y, record=RECORD)
        return nf.contrast(nf.info_nce, queries, keys, nf.paired(), similarity=further, temperature=T, tile=tile)

    def loops(own_length):
        r = 0.8 * float(uniform(2, "smoothed_extrapolation, share", 1, 0))
        losses = []
        for i in range(N):
            k = y[i] if own_length else unit(y)[i]
            pushed = (1 + r) * x[i] - r * k
            made = row_through(further.network, torch.cat([x[i], pushed]))
            scores = [made @ unit(y)[j] / made.norm() / T for j in range(N)]
            losses.append(log_sum_exp(scores) - scores[i])
        return mean(losses)

    check(run, lambda: loops(False), lambda: loops(True), [x, y, *further.parameters()])


def test_without_a_spread_it_only_smooths():
    x, y = torch.randn(4, D), torch.randn(4, D)
    still = nf.smoothed_extrapolation(dimension=D, spread=0)
    first = still(nf.rows(x), nf.rows(y))
    still.update()
    assert torch.equal(first, still(nf.rows(x), nf.rows(y)))
    assert torch.allclose(
        first[0], torch.nn.functional.cosine_similarity(still.network(torch.cat([x[0], x[0]])), y, dim=1), atol=1e-6
    )


def test_what_it_needs_is_said():
    x = torch.randn(4, D)
    for wrong in ({"dimension": 0}, {"dimension": None}, {"dimension": 3, "spread": -0.1}):
        with pytest.raises(UsageError, match="dimensions"):
            nf.smoothed_extrapolation(**wrong)
    further = nf.smoothed_extrapolation(dimension=D + 1)
    with pytest.raises(UsageError, match="a network of 4 dimensions"):
        nf.contrast(nf.info_nce, x, x.clone(), nf.paired(), similarity=further)
    further = nf.smoothed_extrapolation(dimension=D)
    with pytest.raises(UsageError, match="1 of 4 queries have no key"):
        nf.contrast(nf.info_nce, nf.rows(x, record=[0, 1, 2, 9]), x, nf.paired(), similarity=further, tile=None)
