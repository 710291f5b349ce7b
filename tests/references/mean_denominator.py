"""InfoNCE with the mean over negatives, one row at a time in plain numbers."""

from nearfar.testing.scalars import exp, log


def mean_denominator(scores, pos, neg):
    near, together, far = 0.0, 0.0, 0.0
    for s, p, n in zip(scores, pos, neg, strict=True):
        if p > 0:
            near += p * s
            together += p * exp(s)
        if n > 0:
            far += n * exp(s)
    if sum(neg) > 0:
        together += far / sum(neg)
    return log(together) - near / sum(pos)
