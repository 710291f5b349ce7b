"""CPC as loops: each state, by the map of each distance, against all steps of the batch; steps without a later one are left out."""

import math


def loss(made, *, one_map=False):
    x, y = made.rows["x"], made.rows["y"]
    assert x.columns["record"].tolist() == y.columns["record"].tolist()
    assert bool(x.mask.all())
    c, z = x.vectors.double().tolist(), y.vectors.double().tolist()
    maps = made.prepared.learner.objective.terms["ahead 1"].head.func.__self__.weight.double().tolist()
    assert len(maps) == 3
    n, steps = len(c), len(c[0])
    total = 0.0
    for k in range(1, 4):
        weight = maps[0 if one_map else k - 1]
        losses = []
        for record in range(n):
            for t in range(steps - k):
                expected = [sum(w * a for w, a in zip(row, c[record][t], strict=True)) for row in weight]
                score = [[sum(e * v for e, v in zip(expected, step, strict=True)) for step in one] for one in z]
                below = math.log(sum(math.exp(s) for one in score for s in one))
                losses.append(below - score[record][t + k])
        total += sum(losses) / len(losses) / 3
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """The same map for every distance."""
    return loss(made, one_map=True)
