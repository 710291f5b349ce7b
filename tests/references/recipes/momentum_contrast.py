"""MoCo as loops: the second step, when the queue holds the keys of the first; one positive a query, the queue as negatives."""

from second_step import against, first_two, rivals, second_step, unit

ours = first_two


def loss(made, *, mates=False):
    step, past = second_step(made), unit(made.rows["y"])
    queries, keys = unit(step.rows["x"]), unit(step.rows["y"])
    total = 0.0
    for i, (query, others) in enumerate(zip(queries, rivals(made), strict=True)):
        positive = float(query @ keys[i]) / 0.2
        scores = [float(query @ past[j]) / 0.2 for j in others]
        scores += [float(query @ key) / 0.2 for j, key in enumerate(keys) if mates and j != i]
        total += against(positive, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Batch mates compete too."""
    return [0.0, loss(made, mates=True)]
