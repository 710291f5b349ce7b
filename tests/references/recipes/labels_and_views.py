"""Contrast by label plus contrast by look as loops: two denominators alike, the positives of a class and the other look of the picture."""

import math


def loss(made, *, in_one=False):
    rows = made.rows["x"]
    z, label, record = rows.vectors.double(), rows.columns["label"].tolist(), rows.columns["record"].tolist()
    z = (z / z.norm(dim=1, keepdim=True)).tolist()
    total = 0.0
    for i in range(len(z)):
        scores = {k: sum(a * b for a, b in zip(z[i], z[k], strict=True)) / 0.1 for k in range(len(z)) if k != i}
        below = math.log(sum(map(math.exp, scores.values())))
        mine = [scores[k] for k in scores if label[k] == label[i]]
        looks = [scores[k] for k in scores if record[k] == record[i]]
        if in_one:
            total += 2 * sum(below - s for s in mine + looks) / len(mine + looks)
        else:
            total += sum(below - s for s in mine) / len(mine) + sum(below - s for s in looks) / len(looks)
    return total / len(z)


def loops(made):
    return loss(made)


def wrong(made):
    """One contrast in which the other look counts twice: among many of a class it hardly counts."""
    return loss(made, in_one=True)
