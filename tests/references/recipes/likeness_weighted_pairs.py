"""CWCL as loops: from frozen to trained the softmax against weights (1 + cosine) / 2 over their sum, back the partner alone."""

import math


def unit(v):
    length = math.sqrt(sum(a * a for a in v))
    return [a / length for a in v]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def loss(made, *, weighted_back=False):
    x, y = made.rows["x"], made.rows["y"]
    assert x.columns["record"].tolist() == y.columns["record"].tolist()
    p, q = ([unit(v) for v in rows.vectors.double().tolist()] for rows in (x, y))
    n, total = len(p), 0.0
    for i in range(n):
        weights = [(1 + dot(p[i], p[j])) / 2 for j in range(n)]
        for queries, keys, weighted in ((p, q, True), (q, p, weighted_back)):
            scores = [dot(queries[i], keys[j]) / 0.07 for j in range(n)]
            below = math.log(sum(map(math.exp, scores)))
            mine = weights if weighted else [float(j == i) for j in range(n)]
            total += sum(w * (below - s) for w, s in zip(mine, scores, strict=True)) / sum(mine) / n
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """Weights in both directions."""
    return loss(made, weighted_back=True)
