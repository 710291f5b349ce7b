"""The pull on active positives, one row at a time in plain numbers: the sum, and how many there are."""

from nearfar.testing.scalars import positive_part, value


def active_pull(scores, pos, neg):
    near = [(p, positive_part((1 - s) / 2) ** 2) for s, p in zip(scores, pos, strict=True) if p > 0]
    return sum(p * d for p, d in near), sum(p for p, d in near if value(d) > 1e-6)
