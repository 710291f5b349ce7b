"""The pull on active positives, one row at a time in plain numbers: the sum, and how many there are."""

from nearfar.testing.scalars import positive_part


def active_pull(scores, pos, neg):
    return sum(p * positive_part((1 - s) / 2) ** 2 for s, p in zip(scores, pos, strict=True) if p > 0)


def count(scores, pos, neg):
    return sum(p for s, p in zip(scores, pos, strict=True) if p > 0 and positive_part((1 - s) / 2) ** 2 > 1e-6)
