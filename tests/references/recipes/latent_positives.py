"""HaLP as loops: the second step, each query against its key and the queue, and towards the points made of its key."""

import math

from nearfar.core.draws import row_ids
from second_step import against, first_two, second_step

T, WEIGHT, SPREAD, COUNT = 0.07, 2.0, 0.8, 10

ours = first_two


def points(maker, row, key, prototypes):
    """Those on the way from a key to another prototype that stay nearest to the key's own."""
    order = sorted(range(len(prototypes)), key=lambda c: -float(key @ prototypes[c]))
    own, kept = prototypes[order[0]], []
    for m in range(COUNT):
        other = prototypes[order[1 + int(float(maker.uniform("towards", row, m)) * (len(order) - 1))]]
        w = math.acos(float(key @ other))
        r = (1 - float(other @ own)) / float(key @ (own - other))
        bound = math.atan2(math.sin(w), r + math.cos(w)) / w
        t = (1 - SPREAD * float(maker.uniform("back", row, m))) * bound
        point = (math.sin((1 - t) * w) * key + math.sin(t * w) * other) / math.sin(w)
        if max(range(len(prototypes)), key=lambda c: float(point @ prototypes[c])) == order[0]:
            kept.append(point)
    return kept


def loss(made, *, with_negatives=False):
    step, total, pulls = second_step(made), 0.0, []
    maker, past = step.term("latent").own, step.past.vectors
    prototypes = maker.prototypes.rows().vectors
    rows = zip(step.x.vectors, step.y.vectors, row_ids(step.x).tolist(), step.rivals(), strict=True)
    for query, key, row, others in rows:
        far = [float(query @ past[j]) / T for j in others]
        total += against(float(query @ key) / T, far)
        for point in points(maker, row, key, prototypes):
            score = float(query @ point) / T
            pulls.append(against(score, far) if with_negatives else -score)
    assert pulls
    return total / len(step.x) + WEIGHT * sum(pulls) / len(pulls)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """InfoNCE for the made points too, which the code does not have."""
    return [0.0, loss(made, with_negatives=True)]
