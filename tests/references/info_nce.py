"""InfoNCE, one row at a time in plain numbers."""

from math import exp, log


def info_nce(scores, pos, neg):
    top = max(s for s, p, n in zip(scores, pos, neg, strict=True) if p + n > 0)
    bottom = log(sum((p + n) * exp(s - top) for s, p, n in zip(scores, pos, neg, strict=True))) + top
    return bottom - sum(p * s for s, p in zip(scores, pos, strict=True)) / sum(pos)
