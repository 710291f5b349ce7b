"""Contriever's loss as loops over the second step: the key of the same document against keys of the first step, of other documents."""

from second_step import against, first_two, second_step

ours = first_two


def loss(made, *, mates=False):
    second = second_step(made)
    queries, keys, past = (rows.vectors for rows in (second.x, second.y, second.past))
    total = 0.0
    for i, (query, others) in enumerate(zip(queries, second.rivals(), strict=True)):
        scores = [float(query @ past[j]) / 0.05 for j in others]
        scores += [float(query @ key) / 0.05 for j, key in enumerate(keys) if mates and j != i]
        total += against(float(query @ keys[i]) / 0.05, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Batch mates compete too, as in the variant without a queue."""
    return [0.0, loss(made, mates=True)]
