"""MoCo as loops: the second step, when the queue holds the keys of the first; one positive a query, the queue as negatives."""

import math

import nearfar as nf


def second_step(made):
    """The queries, keys and queue of the step after the first, and its loss; nothing was optimised between the two."""
    learner = made.prepared.learner
    objective = learner.at_this_step()
    (queue,) = [m for m in learner.terms.modules() if hasattr(m, "rows")]
    if queue.rows() is None:
        nf.update_state(objective, made.rows)
    step = nf.backward(objective, made.prepared.batches.streams(1))
    return step, made.rows["y"]


def unit(rows):
    vectors = rows.vectors.double()
    return vectors / vectors.norm(dim=1, keepdim=True)


def loss(made, *, mates=False):
    step, past = second_step(made)
    queries, keys, queue = unit(step.rows["x"]), unit(step.rows["y"]), unit(past)
    mine, theirs = step.rows["x"].columns["record"].tolist(), past.columns["record"].tolist()
    total = 0.0
    for i, query in enumerate(queries):
        positive = float(query @ keys[i]) / 0.2
        scores = [positive] + [
            float(query @ key) / 0.2 for key, who in zip(queue, theirs, strict=True) if who != mine[i]
        ]
        scores += [float(query @ key) / 0.2 for j, key in enumerate(keys) if mates and j != i]
        total += math.log(sum(map(math.exp, scores))) - positive
    return total / len(queries)


def ours(made):
    """The first step has an empty queue: it loses nothing."""
    return [made.loss, float(second_step(made)[0].loss)]


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Batch mates compete too."""
    return [0.0, loss(made, mates=True)]
