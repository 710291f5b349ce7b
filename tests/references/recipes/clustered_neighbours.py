"""BECLR as loops: the step at which the memory is full: other view and past keys of the cluster as positives, and the push."""

import math

import torch

import nearfar as nf
from nearfar.maths.sinkhorn import sinkhorn

CLUSTERS, NEAREST, T, WEIGHT = 4, 5, 2.0, 0.1


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def full(made):
    """The memory after one step's teacher keys, 16 records in two views, and the loss of the next; nothing was optimised between."""
    learner = made.prepared.learner
    objective = learner.at_this_step()
    memory = next(m for m in learner.terms.modules() if hasattr(m, "nearest"))
    if memory.rows() is None:
        nf.update_state(objective, made.rows)
    assert memory.centres() is not None
    return memory, nf.backward(objective, made.prepared.batches.streams(1)), learner


def neighbours(memory, keys, every_cluster):
    """For each teacher key, the places of its past keys."""
    past = memory.rows()
    stored, cluster = unit(past.vectors.double()), past.columns["cluster"].tolist()
    centres = torch.stack(
        [unit(sum(v for v, c in zip(stored, cluster, strict=True) if c == k)) for k in range(CLUSTERS)]
    )
    mine = sinkhorn(keys @ centres.T, 0.05, 10).argmax(1).tolist()
    found = []
    for i, key in enumerate(keys):
        able = [j for j, c in enumerate(cluster) if every_cluster or c == mine[i]]
        found.append(sorted(able, key=lambda j: -float(key @ stored[j]))[:NEAREST])
    return found, stored, past.columns["record"].tolist()


def loss(made, *, every_cluster=False):
    memory, step, learner = full(made)
    with torch.no_grad():
        predictor = next(m.predictor for m in learner.terms.modules() if getattr(m, "predictor", None) is not None)
        p = unit(predictor(step.rows["x"].vectors).double())
    z, y = unit(step.rows["x"].vectors.double()), unit(step.rows["y"].vectors.double())
    record, n = step.rows["x"].columns["record"].tolist(), len(p)
    near, stored, whose = neighbours(memory, y, every_cluster)
    total, pairs = 0.0, 0
    for i in range(n):
        twin = (i + n // 2) % n  # the other view of the record
        positives = [y[twin], *(stored[j] for j in near[twin] if whose[j] != record[i])]
        total -= sum(float(p[i] @ v) for v in positives)
        pairs += len(positives)
    apart = [float(z[i] @ z[j]) for i in range(n) for j in range(n) if record[i] != record[j]]
    push = math.log(sum(math.exp(c / T) for c in apart) / len(apart)) - 1 / T  # uniformity's constant
    return total / pairs + WEIGHT * push


def ours(made):
    return float(full(made)[1].loss)


def loops(made):
    return loss(made)


def wrong(made):
    """The nearest of all past keys, whatever their cluster."""
    return loss(made, every_cluster=True)
