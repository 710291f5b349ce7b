"""MoCo as loops: the second step, when the queue holds the keys of the first; one positive a query, the queue as negatives."""

from second_step import against, first_two, second_step

ours = first_two


def loss(made, *, mates=False):
    step = second_step(made)
    queries, keys, past = step.x.vectors, step.y.vectors, step.past.vectors
    total = 0.0
    for i, (query, others) in enumerate(zip(queries, step.rivals(), strict=True)):
        scores = [float(query @ past[j]) / 0.2 for j in others]
        scores += [float(query @ key) / 0.2 for j, key in enumerate(keys) if mates and j != i]
        total += against(float(query @ keys[i]) / 0.2, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Batch mates compete too."""
    return [0.0, loss(made, mates=True)]
