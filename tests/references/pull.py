"""The pull, one row at a time in plain numbers: minus the sum of positives' scores, and their weights."""


def pull(scores, pos, neg):
    return -sum(p * s for p, s in zip(pos, scores, strict=True) if p > 0), sum(pos)
