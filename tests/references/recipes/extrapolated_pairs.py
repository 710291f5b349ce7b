"""FT as loops: the second step, pairs pushed apart by one share and the keys of the first step mixed by another."""

import torch

from second_step import against, first_two, rivals, second_step, term, unit

ours = first_two

T = 0.2


def mixed_keys(chance, past, records):
    """Each key of the first step with the one that the second permutation puts where the first has it."""
    share = float(chance.beta(1.6, 1.6, "share", torch.zeros(1, dtype=torch.long)))
    line, other = (
        sorted(range(len(past)), key=lambda j, p=p: float(chance.uniform(f"permutation {p}", records[j])))
        for p in (1, 2)
    )
    return {j: share * past[j] + (1 - share) * past[k] for j, k in zip(line, other, strict=True)}


def loss(made, *, pushed_negatives=True):
    step, total = second_step(made), 0.0
    queries, keys, past = unit(step.rows["x"]), unit(step.rows["y"]), unit(made.rows["y"])
    mixed = mixed_keys(term(made).keys.stages[1], past, made.rows["y"].columns["record"].tolist())
    a = 1 + float(term(made).similarity.beta(2.0, 2.0, "share", torch.zeros(1, dtype=torch.long)))
    for q, k, others in zip(queries, keys, rivals(made), strict=True):
        far, near = a * q + (1 - a) * k, a * k + (1 - a) * q
        positive = float(far @ near) / T
        scores = [float((far if pushed_negatives else q) @ mixed[j]) / T for j in others]
        total += against(positive, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """The query as it is against the negatives."""
    return [0.0, loss(made, pushed_negatives=False)]
