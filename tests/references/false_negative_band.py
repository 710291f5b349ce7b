"""The band within a cluster, pair by pair; centroids that were set by one update."""

from harness import leaf

import nearfar as nf
from nearfar.testing.scalars import sqrt, value

N, D, K, ABOVE, BELOW = 7, 3, 2, 0.1, 0.4
PAST = leaf(N, D, seed=9).detach()


def memory():
    made = nf.online_centroids(k=K, start=1.0)
    made.update(nf.rows(PAST))
    return made


def objective():
    pairs = nf.Objective({"pairs": nf.Scored(nf.info_nce, nf.paired(), keys=memory())})
    return nf.false_negative_band(pairs, above=ABOVE, below=BELOW)


def streams():
    return {name: nf.rows(leaf(N, D, seed=s)) for s, name in enumerate(("x", "y"))}


def cosine(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True)) / sqrt(sum(u * u for u in a)) / sqrt(sum(v * v for v in b))


def larger(number):
    return number if value(number) > 0 else 0 * number


def total(streams, own):
    x, y = ([list(row) for row in streams[name].vectors] for name in ("x", "y"))
    centres = memory().rows().vectors.tolist()
    cluster = [max(range(K), key=lambda k: value(cosine(row, centres[k]))) for row in y]
    loss = 0.0
    for i in range(N):
        for j in range(N):
            if i == j or (own and cluster[i] != cluster[j]):
                continue
            apart = cosine(x[i], y[j]) - cosine(x[i], y[i])
            loss += (larger(apart + ABOVE) + larger(-apart - BELOW)) / N**2
    return loss


def loops(objective, streams):
    return total(streams, True)


def wrong(objective, streams):
    """All batch mates, whatever their cluster."""
    return total(streams, False)
