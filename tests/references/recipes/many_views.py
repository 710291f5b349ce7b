"""MV-DHEL as loops: for each picture one logarithm over pairs of its looks, and one for each look over the same look at others."""

import math

VIEWS, T = 3, 0.5


def loss(made, *, across=False):
    x = made.rows["x"]
    table = {}
    for vector, record, view in zip(
        x.vectors.double().tolist(), x.columns["record"].tolist(), x.columns["view"].tolist(), strict=True
    ):
        length = math.sqrt(sum(v * v for v in vector))
        table[record, view] = [v / length for v in vector]
    records = sorted({record for record, _ in table})
    assert len(table) == VIEWS * len(records)

    def score(one, other):
        return sum(a * b for a, b in zip(table[one], table[other], strict=True)) / T

    total = 0.0
    for i in records:
        near = sum(math.exp(score((i, a), (i, b))) for a in range(VIEWS) for b in range(a + 1, VIEWS))
        total -= math.log(near)
        for a in range(VIEWS):
            looks = range(VIEWS) if across else [a]
            total += math.log(sum(math.exp(score((i, a), (j, b))) for j in records if j != i for b in looks))
    return total / len(records)


def loops(made):
    return loss(made)


def wrong(made):
    """Looks at other pictures of every kind below the line."""
    return loss(made, across=True)
