"""FT as loops: the second step, pairs pushed apart by one share and the keys of the first step mixed by another."""

import torch

from nearfar.core.draws import row_ids
from second_step import against, first_two, second_step

T = 0.2

ours = first_two


def one_share(chance, alpha):
    """The share that a step has for all its rows."""
    return float(chance.beta(alpha, alpha, "share", torch.zeros(1, dtype=torch.long)))


def mixed_keys(chance, past):
    """Each key of the first step with the one that the second permutation puts where the first has it."""
    share, ids, keys = one_share(chance, 1.6), row_ids(past).tolist(), past.vectors
    line, other = (
        sorted(range(len(ids)), key=lambda j, p=p: float(chance.uniform(f"permutation {p}", ids[j]))) for p in (1, 2)
    )
    return {j: share * keys[j] + (1 - share) * keys[k] for j, k in zip(line, other, strict=True)}


def loss(made, *, pushed_negatives=True):
    step, total = second_step(made), 0.0
    mixed = mixed_keys(step.term().keys.stages[1], step.past)
    a = 1 + one_share(step.term().similarity, 2.0)
    for q, k, others in zip(step.x.vectors, step.y.vectors, step.rivals(), strict=True):
        far, near = a * q + (1 - a) * k, a * k + (1 - a) * q
        scores = [float((far if pushed_negatives else q) @ mixed[j]) / T for j in others]
        total += against(float(far @ near) / T, scores)
    return total / len(step.x)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """The query as it is against the negatives."""
    return [0.0, loss(made, pushed_negatives=False)]
