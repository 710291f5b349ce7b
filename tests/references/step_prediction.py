"""Step prediction in loops: one sequence, step and distance after the other; the second sequence is shorter than the first."""

import torch
from harness import leaf

import nearfar as nf
from nearfar.objectives.step_prediction import step_prediction
from nearfar.testing.scalars import exp, log

LENGTHS, D, K = [4, 2, 3], 3, 2


def objective():
    made = step_prediction(K, dimension=D, seed=1)
    maps(made).double()
    return made


def maps(objective):
    return objective.terms["ahead 1"].head.func.__self__


def parameters(objective):
    return list(maps(objective).parameters())


def table(seed):
    mask = torch.arange(4)[None] < torch.tensor(LENGTHS)[:, None]
    return nf.rows(leaf(3, 4, D, seed=seed), mask=mask)


def streams():
    return {"x": table(0), "y": table(1)}


def total(objective, streams, own):
    c, z = streams["x"].vectors, streams["y"].vectors
    weight = maps(objective).weight
    places = [(n, t) for n, length in enumerate(LENGTHS) for t in range(length)]
    loss = 0.0
    for k in range(1, K + 1):
        losses = []
        for n, t in places:
            if t + k >= LENGTHS[n]:
                continue
            expected = [sum(weight[k - 1][i][j] * c[n][t][j] for j in range(D)) for i in range(D)]
            score = {(m, u): sum(e * v for e, v in zip(expected, z[m][u], strict=True)) for m, u in places}
            keys = [p for p in places if own or p[0] != n or p == (n, t + k)]
            losses.append(log(sum(exp(score[p]) for p in keys)) - score[n, t + k])
        loss = loss + sum(losses) / len(losses) / K
    return loss


def loops(objective, streams):
    return total(objective, streams, True)


def wrong(objective, streams):
    """Without the negatives of the sequence itself."""
    return total(objective, streams, False)
