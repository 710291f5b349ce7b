"""SupCon's loss as loops: each look against the mean over looks of its class, all other looks in the denominator."""

import math


def loss(made, *, inside=False):
    rows = made.rows["x"]
    z, label = rows.vectors.double(), rows.columns["label"].tolist()
    z = (z / z.norm(dim=1, keepdim=True)).tolist()
    total = 0.0
    for i in range(len(z)):
        scores = {k: sum(a * b for a, b in zip(z[i], z[k], strict=True)) / 0.1 for k in range(len(z)) if k != i}
        below = math.log(sum(map(math.exp, scores.values())))
        mine = [scores[k] for k in scores if label[k] == label[i]]
        if inside:
            total += below - math.log(sum(map(math.exp, mine)) / len(mine))
        else:
            total += sum(below - s for s in mine) / len(mine)
    return total / len(z)


def loops(made):
    return loss(made)


def wrong(made):
    """The mean over positives inside the logarithm."""
    return loss(made, inside=True)
