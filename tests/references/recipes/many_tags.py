"""DEXML's decoupled softmax as loops: each tag of a text against all tags of the batch that it does not have, each tag once."""

import math


def unit(v):
    length = math.sqrt(sum(a * a for a in v))
    return [a / length for a in v]


def loss(made, *, compete=False):
    x, y = made.rows["x"], made.rows["y"]
    record, first, further = (
        made.rows["x"].columns["record"].tolist(),
        *(made.records.fields[n] for n in ("document", "documents")),
    )
    own = [{first[r], *further[r]} for r in record]
    names = [first[r] for r in record] + [tag for r in record for tag in further[r]]
    assert len(names) == len(y.vectors)
    vector = {}
    for name, v in zip(names, y.vectors.double().tolist(), strict=True):
        v = unit(v)
        assert all(abs(a - b) < 1e-5 for a, b in zip(vector.setdefault(name, v), v, strict=True))
    total = 0.0
    for text, mine in zip(x.vectors.double().tolist(), own, strict=True):
        query = unit(text)
        score = {name: sum(a * b for a, b in zip(query, v, strict=True)) / 0.05 for name, v in vector.items()}
        for tag in mine:
            against = [s for name, s in score.items() if name == tag or name not in mine or compete]
            total += (math.log(sum(map(math.exp, against))) - score[tag]) / len(mine)
    return total / len(own)


def loops(made):
    return loss(made)


def wrong(made):
    """Softmax: the tags of a text compete."""
    return loss(made, compete=True)
