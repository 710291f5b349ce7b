"""CACR as loops over squared distances: softmaxes of positives, the far ones first, and of negatives, the near ones first."""

import math

T_PLUS, T_MINUS, T = 1.0, 2.0, 0.05


def loss(made, *, near_positives=False):
    x = made.rows["x"]
    z = x.vectors.double()
    z = (z / z.norm(dim=1, keepdim=True)).tolist()
    record = x.columns["record"].tolist()
    total = 0.0
    for i, one in enumerate(z):
        near, far = [], []
        for k, other in enumerate(z):
            if k != i:
                distance = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (2 * T)
                (near if record[k] == record[i] else far).append(distance)
        assert len(near) == 2
        pulls = [math.exp((-T_PLUS if near_positives else T_PLUS) * d) for d in near]
        pushes = [math.exp(-T_MINUS * d) for d in far]
        total += sum(p * d for p, d in zip(pulls, near, strict=True)) / sum(pulls)
        total -= sum(p * d for p, d in zip(pushes, far, strict=True)) / sum(pushes)
    return total / len(z)


def loops(made):
    return loss(made)


def wrong(made):
    """Near positives first, as near negatives are."""
    return loss(made, near_positives=True)
