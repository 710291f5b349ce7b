"""DCLR's loss in its second pass as loops: batch mates that the guide finds near are no negatives, noise is, after its ascent."""

import math

import torch

import nearfar as nf
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.refresh import refreshed

T = 0.05
NEAR = 1 - 0.05  # the smoke's threshold


def second_pass(made):
    """The first step after the guide was written; nothing was optimised before it."""
    _, guide, fit = made.recipe.stages
    towers, heads = towers_of(made.recipe, made.records)
    column = refreshed([guide], made.prepared.batches, made.recipe.seed)
    prepared = prepare(fit, made.recipe, made.records.with_columns(**column), towers, heads)
    prepared.learner.eval()
    step = nf.backward(prepared.learner.at_this_step(), prepared.batches.streams(0))
    return step, prepared.learner


def cosine(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True)) / math.sqrt(sum(u * u for u in a) * sum(v * v for v in b))


def raised(noise, queries, *, up=True):
    """Four steps of 1e-3 up the loss of the batch, the gradient by torch."""
    for _ in range(4):
        noise = noise.detach().requires_grad_()
        total = sum(
            torch.stack([torch.cosine_similarity(h, e, dim=0) / T for e in noise]).logsumexp(0) for h in queries
        )
        (gradient,) = torch.autograd.grad(total, noise)
        noise = noise + (1 if up else -1) * 1e-3 * gradient / gradient.norm(dim=1, keepdim=True)
    return noise.detach()


def loss(made, *, logits_times_weight=False):
    step, learner = second_pass(made)
    x, y = step.rows["x"], step.rows["y"]
    (drawn,) = [m for m in learner.terms.modules() if isinstance(m, type(nf.noise_negatives()))]
    drawn.ascent = 0
    noise = drawn(x, y).vectors[len(y) :].detach()
    noise = raised(noise, x.vectors.detach()).double().tolist()
    queries, keys = x.vectors.double().tolist(), y.vectors.double().tolist()
    guide = x.columns["guide"].double().tolist()
    total = left_out = 0
    for i, query in enumerate(queries):
        below = sum(math.exp(cosine(query, e) / T) for e in noise)
        for k, key in enumerate(keys):
            false = cosine(guide[i], guide[k]) > NEAR
            left_out += false and k != i
            if k != i and not false:
                below += math.exp(cosine(query, key) / T)
            elif k != i and logits_times_weight:
                below += math.exp(0)
        total += math.log(below) - cosine(query, keys[i]) / T
    assert left_out, "the guide finds no false negative: the smoke shows nothing"
    return total / len(queries)


def ours(made):
    return float(second_pass(made)[0].loss)


def loops(made):
    return loss(made)


def wrong(made):
    """Weights multiply the scores, so that a weight of zero leaves exp(0) in the denominator instead of nothing."""
    return loss(made, logits_times_weight=True)
