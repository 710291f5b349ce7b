"""ClusterNS as loops, once its centroids have begun: further keys of everybody, and the band within a cluster."""

import math

import nearfar as nf

WEIGHT, ABOVE, BELOW = 10.0, 0.0, 0.3  # a weight at which the band counts; the recipe's is faint


def unit(rows):
    return [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in rows.vectors.double().tolist()]


def objective(made):
    whole = made.prepared.learner.objective
    return nf.Objective(whole.terms, {"false_negatives": WEIGHT})


def centroids(made):
    return next(iter(objective(made).terms.values())).keys


def ours(made):
    assert centroids(made).rows() is None
    nf.update_state(objective(made), made.rows)
    return float(nf.contrast(objective(made), made.rows["x"], made.rows["y"]))


def loss(made, *, place=1, band=True):
    x, y, c = unit(made.rows["x"]), unit(made.rows["y"]), unit(centroids(made).rows())
    n = len(x)

    def cosine(a, b):
        return sum(u * v for u, v in zip(a, b, strict=True))

    by_nearness = [sorted(range(len(c)), key=lambda k: -cosine(row, c[k])) for row in y]
    further = [c[order[place]] for order in by_nearness]
    total = 0.0
    for i in range(n):
        scores = [cosine(x[i], key) / 0.05 for key in y + further]
        total += (math.log(sum(map(math.exp, scores))) - scores[i]) / n
        for j in range(n):
            if band and j != i and by_nearness[i][0] == by_nearness[j][0]:
                apart = cosine(x[i], y[j]) - cosine(x[i], y[i])
                total += WEIGHT / n**2 * (max(0, apart + ABOVE) + max(0, -apart - BELOW))
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """The nearest centroid, which is the sentence's own cluster."""
    return loss(made, place=0)
