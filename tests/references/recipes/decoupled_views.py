"""DCL as loops: every look against its partner, and against all looks at other pictures in one sum."""

import math


def loss(made, *, partner_below=False):
    z = made.rows["x"].vectors.double()
    z = z / z.norm(dim=1, keepdim=True)
    rows, total = len(z), 0.0
    for i in range(rows):
        partner = (i + rows // 2) % rows
        scores = {k: float(z[i] @ z[k]) / 0.1 for k in range(rows) if k != i}
        below = [s for k, s in scores.items() if partner_below or k != partner]
        total += math.log(sum(map(math.exp, below))) - scores[partner]
    return total / rows


def loops(made):
    return loss(made)


def wrong(made):
    """InfoNCE: the positive stays in the denominator."""
    return loss(made, partner_below=True)
