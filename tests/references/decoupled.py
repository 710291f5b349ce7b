"""Decoupled contrastive learning, one row at a time in plain numbers."""

from math import exp, log


def decoupled(scores, pos, neg):
    bottom = log(sum(n * exp(s) for s, n in zip(scores, neg, strict=True)))
    return bottom - sum(p * s for s, p in zip(scores, pos, strict=True)) / sum(pos)
