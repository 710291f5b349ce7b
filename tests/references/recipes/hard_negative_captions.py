"""HN-NCE as loops: weights of each row's negatives that add up to their number, the positive beside them; rows, then columns."""

import math

T, ALPHA, BETA = 0.1, 1.0, 0.25


def one_way(scores, normalised):
    total, n = 0.0, len(scores)
    for i, row in enumerate(scores):
        hardness = {j: math.exp(BETA * s) for j, s in enumerate(row) if j != i}
        weight = {j: (n - 1) * h / sum(hardness.values()) if normalised else h for j, h in hardness.items()}
        below = ALPHA * math.exp(row[i]) + sum(w * math.exp(row[j]) for j, w in weight.items())
        total += math.log(below) - row[i]
    return total / n


def loss(made, *, normalised=True):
    rows = [v.tolist() for v in (made.rows["x"].vectors.double(), made.rows["y"].vectors.double())]
    x, y = ([[a / math.sqrt(sum(b * b for b in v)) for a in v] for v in side] for side in rows)
    scores = [[sum(a * b for a, b in zip(p, c, strict=True)) / T for c in y] for p in x]
    columns = [list(column) for column in zip(*scores, strict=True)]
    return (one_way(scores, normalised) + one_way(columns, normalised)) / 2


def loops(made):
    return loss(made)


def wrong(made):
    """Weights that do not add up to the number of negatives."""
    return loss(made, normalised=False)
