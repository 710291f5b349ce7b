"""SimCSE's loss as loops: each first pass against the second passes of the batch, one way."""

import math


def unit(rows):
    return [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in rows.vectors.double().tolist()]


def loss(made, *, both_passes=False):
    x, y = unit(made.rows["x"]), unit(made.rows["y"])
    total = 0.0
    for i in range(len(x)):
        keys = y + [x[k] for k in range(len(x)) if k != i] if both_passes else y
        scores = [sum(a * b for a, b in zip(x[i], key, strict=True)) / 0.05 for key in keys]
        total += math.log(sum(map(math.exp, scores))) - scores[i]
    return total / len(x)


def loops(made):
    return loss(made)


def wrong(made):
    """As for pictures: the first passes of other sentences are negatives too."""
    return loss(made, both_passes=True)
