"""RankCLIP as loops: both ways of softmax, and the likelihood of each side's ranking under the other's scores, key by key."""

import math

T = 0.07


def softmax(scores):
    return sum(math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(scores)) / len(scores)


def unlikely(scores, orders):
    """Mean over rows: the best key of the other side's order is drawn first, then the best of the rest."""
    total = 0.0
    for row, other in zip(scores, orders, strict=True):
        left = sorted(range(len(row)), key=lambda k: other[k])
        while left:
            total += math.log(sum(math.exp(row[k]) for k in left)) - row[left[-1]]
            left.pop()
    return total / len(scores)


def loss(made, *, to_itself=False):
    rows = [v.tolist() for v in (made.rows["x"].vectors.double(), made.rows["y"].vectors.double())]
    x, y = ([[a / math.sqrt(sum(b * b for b in v)) for a in v] for v in side] for side in rows)

    def table(one, other):
        return [[sum(a * b for a, b in zip(p, q, strict=True)) / T for q in other] for p in one]

    s, back, of_x, of_y = table(x, y), table(y, x), table(x, x), table(y, y)
    pairs = [(s, back), (back, s), (of_x, of_y), (of_y, of_x)]
    ranks = sum(unlikely(a, a if to_itself else b) for a, b in pairs) / 32 / len(x)
    return (softmax(s) + softmax(back)) / 2 + ranks


def loops(made):
    return loss(made)


def wrong(made):
    """Each side's own ranking."""
    return loss(made, to_itself=True)
