"""Kernel decoupled uniformity as loops: means of looks, smoothed by kernel ridge regression on the prior, and all pairs of them."""

import math

import numpy as np


def unit(v):
    length = math.sqrt(sum(a * a for a in v))
    return [a / length for a in v]


def square(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def loss(made, *, smooth=True):
    rows = made.rows["x"]
    record, prior = rows.columns["record"].tolist(), [float(v) for v in rows.columns["label"].tolist()]
    looks, known = {}, {}
    for number, row, feature in zip(record, rows.vectors.double().tolist(), prior, strict=True):
        looks.setdefault(number, []).append(unit(row))
        known[number] = feature
    numbers = sorted(looks)
    assert all(len(looks[number]) == 2 for number in numbers)
    means = [[(a + b) / 2 for a, b in zip(*looks[number], strict=True)] for number in numbers]
    n = len(numbers)
    if smooth:
        apart = [[(known[a] - known[b]) ** 2 for b in numbers] for a in numbers]
        between = sorted(apart[i][j] for i in range(n) for j in range(i))
        middle = between[(len(between) - 1) // 2]
        kernel = np.array([[math.exp(-apart[i][j] / (2 * middle)) for j in range(n)] for i in range(n)])
        weights = np.linalg.inv(kernel + 0.01 * np.eye(n)) @ kernel
        means = [[sum(weights[i, j] * means[j][k] for j in range(n)) for k in range(len(means[0]))] for i in range(n)]
    pairs = [math.exp(-2 * square(means[i], means[j])) for i in range(n) for j in range(i)]
    return math.log(sum(pairs) / len(pairs))


def loops(made):
    return loss(made)


def wrong(made):
    """Without the prior."""
    return loss(made, smooth=False)
