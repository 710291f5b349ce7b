"""MoCHi as loops: the second step, when each query mixes its hardest keys of the first, as the draws of its record and look say."""

from nearfar.core.draws import row_ids
from second_step import against, first_two, second_step

HARDEST, PAIRS, WITH_QUERY, T = 8, 6, 4, 0.2

ours = first_two


def mixtures(draw, query, negatives):
    """Points between two of the hardest, and between one of them and the query, brought to unit length."""
    hard = sorted(negatives, key=lambda n: -float(query @ n))[:HARDEST]
    made = []
    for m in range(PAIRS + WITH_QUERY):
        first = int(draw("first", m) * len(hard))
        second = (first + 1 + int(draw("second", m) * (len(hard) - 1))) % len(hard)
        share = draw("share", m)
        if m < PAIRS:
            point = share * hard[first] + (1 - share) * hard[second]
        else:
            point = share / 2 * query + (1 - share / 2) * hard[first]
        made.append(point / point.norm())
    return made


def loss(made, *, of_first=False):
    step, total = second_step(made), 0.0
    queries, keys, ids = step.x.vectors, step.y.vectors, row_ids(step.x).tolist()
    negatives = [[step.past.vectors[j] for j in others] for others in step.rivals()]
    for i, query in enumerate(queries):
        chosen = 0 if of_first else i
        mixed = mixtures(
            lambda what, m, row=ids[chosen]: float(step.term().own.uniform(what, row, m)),
            queries[chosen],
            negatives[chosen],
        )
        scores = [float(query @ key) / T for key in [*negatives[i], *mixed]]
        total += against(float(query @ keys[i]) / T, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Every query mixes the first one's hardest, as public code does."""
    return [0.0, loss(made, of_first=True)]
