"""Agreement of rankings, key by key: each side's scores in the order of the other side's."""

from harness import leaf

import nearfar as nf
from nearfar.testing.scalars import exp, log, sqrt, value

N, D, T = 6, 3, 0.2


def objective():
    pairs = nf.Objective({"pairs": nf.Scored(nf.info_nce, nf.paired(), temperature=T)})
    return nf.rank_agreement(pairs)


def streams():
    return {name: nf.rows(leaf(N, D, seed=s)) for s, name in enumerate(("x", "y"))}


def cosine(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True)) / sqrt(sum(u * u for u in a)) / sqrt(sum(v * v for v in b))


def unlikely(scores, teacher):
    order = sorted(range(N), key=lambda k: -value(teacher[k]))
    return sum(log(sum(exp(scores[m]) for m in order[j:])) - scores[best] for j, best in enumerate(order))


def total(streams, within):
    x, y = ([list(row) for row in streams[name].vectors] for name in ("x", "y"))
    across = [[cosine(a, b) / T for b in y] for a in x]
    back = [[across[i][j] for i in range(N)] for j in range(N)]
    of_x, of_y = ([[cosine(a, b) / T for b in side] for a in side] for side in (x, y))
    pairs = [(across, back), (back, across)] + ([(of_x, of_y), (of_y, of_x)] if within else [])
    return sum(unlikely(s[i], t[i]) for s, t in pairs for i in range(N)) / N / (32 * N)


def loops(objective, streams):
    return total(streams, True)


def wrong(objective, streams):
    """Across modalities alone."""
    return total(streams, False)
