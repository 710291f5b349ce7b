"""MoCHi as loops: the second step, when each query mixes its hardest keys of the first, as its record's draws say."""

from second_step import against, first_two, rivals, second_step, term, unit

ours = first_two

HARDEST, PAIRS, WITH_QUERY, T = 8, 6, 4, 0.2


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
    step, past = second_step(made), unit(made.rows["y"])
    queries, keys, records = unit(step.rows["x"]), unit(step.rows["y"]), step.rows["x"].columns["record"].tolist()
    chance, total, allowed = term(made).own, 0.0, rivals(made)
    for i, query in enumerate(queries):
        chosen = 0 if of_first else i
        mixed = mixtures(
            lambda what, m, record=records[chosen]: float(chance.uniform(what, record, m)),
            queries[chosen],
            [past[j] for j in allowed[chosen]],
        )
        positive = float(query @ keys[i]) / T
        scores = [float(query @ key) / T for key in [*(past[j] for j in allowed[i]), *mixed]]
        total += against(positive, scores)
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Every query mixes the first one's hardest, as public code does."""
    return [0.0, loss(made, of_first=True)]
