"""The push on active negatives, one row at a time in plain numbers: the sum, and how many there are."""

from nearfar.testing.scalars import positive_part, value


def active_push(scores, pos, neg, margin=0.6):
    far = [
        (n, positive_part(margin - positive_part((1 - s) / 2)) ** 2) for s, n in zip(scores, neg, strict=True) if n > 0
    ]
    return sum(n * h for n, h in far), sum(n for n, h in far if value(h) > 1e-6)
