"""ZeroVL's loss as loops: drawn partners and share, one side mixed, both directions; equal texts are no negatives."""

import math


def unit(v):
    length = math.sqrt(sum(a * a for a in v))
    return [a / length for a in v]


def loss(made, *, unit_before=False):
    mixing = made.prepared.learner.objective.terms[""].head.__self__
    x, y = (made.rows[name].vectors.double().tolist() for name in "xy")
    record, n = made.rows["x"].columns["record"], len(x)
    chance = mixing.uniform("partner", record).tolist()
    line = sorted(range(n), key=chance.__getitem__)
    partner = {row: line[n - 1 - place] for place, row in enumerate(line)}
    share = float(mixing.beta(1.0, 1.0, "share", 0))
    side = x if float(mixing.uniform("coin", 0)) < 0.5 else y
    parts = [unit(v) for v in side] if unit_before else list(side)
    side[:] = [
        [share * a + (1 - share) * b for a, b in zip(parts[i], parts[partner[i]], strict=True)] for i in range(n)
    ]
    x, y = [unit(v) for v in x], [unit(v) for v in y]
    scores = [[sum(a * b for a, b in zip(u, v, strict=True)) / 0.02 for v in y] for u in x]
    total = 0.0
    for way in (scores, list(zip(*scores, strict=True))):
        for i, row in enumerate(way):
            highest = max(row)
            below = highest + math.log(sum(math.exp(s - highest) for s in row))
            total += (below - share * row[i] - (1 - share) * row[partner[i]]) / (2 * n)
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """Unit vectors mixed, instead of vectors as the encoder gives them."""
    return loss(made, unit_before=True)
