"""Logit matching, one row at a time in plain numbers."""

from nearfar.testing.scalars import value


def logit_matching(scores, pos, neg, teacher):
    total = weight = 0.0
    for s, p, n, t in zip(scores, pos, neg, teacher, strict=True):
        if p + n > 0:
            difference = s - value(t)  # it is given, not taught
            total += (p + n) * difference * difference
            weight += p + n
    return total / weight
