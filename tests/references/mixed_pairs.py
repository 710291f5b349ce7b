"""Mixed pairs by their formula: partners and share as drawn, one side mixed, both directions with soft targets, one score at a time."""

import torch
from harness import leaf, log_sum_exp, unit

import nearfar as nf

N, D, T = 7, 3, 0.3
RECORD = [10, 4, 12, 13, 9, 15, 2]


def objective():
    return nf.mixed_pairs(temperature=T, alpha=2.0, seed=3)


def streams():
    return {name: nf.rows(leaf(N, D, seed=s), record=RECORD) for s, name in enumerate("xy")}


def drawn(objective):
    """The partner of each row, the share, and whether the queries are mixed."""
    mixing = objective.head.__self__
    chance = {r: float(mixing.uniform("partner", torch.tensor(r))) for r in RECORD}
    line = sorted(RECORD, key=chance.get)
    partner = [RECORD.index(line[N - 1 - line.index(r)]) for r in RECORD]
    share = float(mixing.beta(2.0, 2.0, "share", 0))
    return partner, share, float(mixing.uniform("coin", 0)) < 0.5


def total(objective, streams, *, hard):
    x, y = (list(streams[name].vectors) for name in "xy")
    partner, share, queries = drawn(objective)
    mixed = x if queries else y
    mixed[:] = [share * mixed[i] + (1 - share) * mixed[partner[i]] for i in range(N)]
    scores = [[unit(u) @ unit(v) / T for v in y] for u in x]
    loss = 0.0
    for way in (scores, list(zip(*scores, strict=True))):
        for i, row in enumerate(way):
            target = row[i] if hard else share * row[i] + (1 - share) * row[partner[i]]
            loss += (log_sum_exp(list(row)) - target) / (2 * N)
    return loss


def loops(objective, streams):
    return total(objective, streams, hard=False)


def wrong(objective, streams):
    """Mixed vectors, but the own record as the only match."""
    return total(objective, streams, hard=True)
