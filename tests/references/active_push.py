"""The push on active negatives, one row at a time in plain numbers: the sum, and how many there are."""

from nearfar.testing.scalars import positive_part


def hinge(s, margin):
    return positive_part(margin - positive_part((1 - s) / 2)) ** 2


def active_push(scores, pos, neg, margin=0.6):
    return sum(n * hinge(s, margin) for s, n in zip(scores, neg, strict=True) if n > 0)


def count(scores, pos, neg, margin=0.6):
    return sum(n for s, n in zip(scores, neg, strict=True) if n > 0 and hinge(s, margin) > 1e-6)
