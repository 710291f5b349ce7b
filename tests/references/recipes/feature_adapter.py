"""CLIP-Adapter's loss as loops: raw vectors blended with what the bottleneck makes of them, then softmax over class texts by cosine."""

import math


def unit(v):
    length = math.sqrt(sum(a * a for a in v))
    return [a / length for a in v]


def times(matrix, v):
    return [sum(w * a for w, a in zip(row, v, strict=True)) for row in matrix]


def loss(made, *, unit_parts=False):
    adapter = made.prepared.learner.towers["encoder"]
    down, up = (layer.weight.double().tolist() for layer in (adapter.down, adapter.up))
    record, label = (made.rows["x"].columns[name].tolist() for name in ("record", "label"))
    images, texts = (made.records.many(field, record) for field in ("image", "text"))
    classes = {number: [float(a) for a in text] for number, text in zip(label, texts, strict=True)}
    total = 0.0
    for image, own in zip(images, label, strict=True):
        f = [float(a) for a in image]
        moved = times(up, [max(a, 0.0) for a in times(down, f)])
        if unit_parts:
            f, moved = unit(f), unit(moved)
        v = unit([0.2 * m + 0.8 * a for m, a in zip(moved, f, strict=True)])
        scores = {c: sum(a * b for a, b in zip(v, unit(text), strict=True)) / 0.01 for c, text in classes.items()}
        highest = max(scores.values())
        total += highest + math.log(sum(math.exp(s - highest) for s in scores.values())) - scores[own]
    return total / len(images)


def loops(made):
    return loss(made)


def wrong(made):
    """Both parts at unit length before they are blended, instead of their blend."""
    return loss(made, unit_parts=True)
