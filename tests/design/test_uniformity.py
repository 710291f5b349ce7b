"""Uniformity (arXiv 2005.10242): the logarithm stands outside the mean over rows, L = log mean_{i != j} exp(-t |x_i - x_j|^2)."""

import math

import torch
from harness import check, distance, leaf, outcome, unit

import nearfar as nf
from nearfar.maths.similarity import Similarity, negative_squared_distance
from nearfar.maths.weighted import log_sum_exp as lse

N, D = 11, 5


def spread(scores, block):
    return lse(scores, block.neg) - block.neg.sum(1).to(scores.dtype).log()


def test_log_outside_the_mean():
    x = leaf(N, D, seed=0)
    on_sphere = Similarity("on the sphere", negative_squared_distance.score, unit)

    def run(tile):
        return nf.contrast(
            spread, x, relation=nf.paired(), similarity=on_sphere, temperature=0.5, reduce="log_mean_exp", tile=tile
        )

    def loops(log_outside):
        z, rows = unit(x), []
        for i in range(N):
            rows.append(sum((-2 * ((z[i] - z[j]) ** 2).sum()).exp() for j in range(N) if j != i) / (N - 1))
        return (sum(rows) / N).log() if log_outside else sum(r.log() for r in rows) / N

    check(run, lambda: loops(True), lambda: loops(False), [x])


def test_it_survives_losses_that_overflow_an_exponential():
    x = leaf(6, 3, seed=1)

    def run(tile):
        def huge(scores, block):
            return 1e4 * scores.masked_fill(~block.neg, -torch.inf).amax(1)

        return nf.contrast(huge, x, relation=nf.paired(), reduce="log_mean_exp", tile=tile)

    plain, tiled = outcome(run(None), [x]), outcome(run(2), [x])
    assert float(plain[0]) > 800, "the case does not overflow"
    assert all(torch.isfinite(t).all() for t in plain)
    assert distance(plain, tiled) < 1e-7
    assert not math.isclose(float(plain[0]), float(outcome(run(2) * 1.001, [x])[0]), rel_tol=1e-12)
