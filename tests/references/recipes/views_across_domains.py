"""The loss of looks as loops: the other look at a picture against all other looks of the batch, whatever their domain."""

import math


def loss(made, *, all_looks=True):
    rows = made.rows["x"]
    z, record, view = rows.vectors.double(), rows.columns["record"].tolist(), rows.columns["view"].tolist()
    z = (z / z.norm(dim=1, keepdim=True)).tolist()
    total = 0.0
    for i in range(len(z)):
        scores = {k: sum(a * b for a, b in zip(z[i], z[k], strict=True)) / 0.5 for k in range(len(z)) if k != i}
        (other,) = [s for k, s in scores.items() if record[k] == record[i]]
        below = scores.values() if all_looks else [s for k, s in scores.items() if view[k] != view[i]]
        total += math.log(sum(map(math.exp, below))) - other
    return total / len(z)


def loops(made):
    return loss(made)


def wrong(made):
    """Only looks of the other number are negatives: half of them are forgotten."""
    return loss(made, all_looks=False)
