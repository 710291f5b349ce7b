"""SigLIP as loops: the logarithm of the sigmoid of every pair, signed; summed over captions, averaged over pictures."""

import math

T, BIAS = 10.0, -6.2


def loss(made, *, of_pairs=False):
    rows = [v.tolist() for v in (made.rows["x"].vectors.double(), made.rows["y"].vectors.double())]
    x, y = ([[a / math.sqrt(sum(b * b for b in v)) for a in v] for v in side] for side in rows)
    total = 0.0
    for i, picture in enumerate(x):
        for j, caption in enumerate(y):
            sign = 1 if i == j else -1
            logit = T * sum(a * b for a, b in zip(picture, caption, strict=True)) + BIAS
            total -= math.log(1 / (1 + math.exp(-sign * logit)))
    return total / (len(x) * len(y) if of_pairs else len(x))


def loops(made):
    return loss(made)


def wrong(made):
    """The mean over all pairs, which is a batch size smaller."""
    return loss(made, of_pairs=True)
