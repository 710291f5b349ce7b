"""CLIP's loss as loops, and what the stage after it measures of the clouds of pictures and texts, in loops too."""

import math

from nearfar.core.stage import Measure
from nearfar.data.dataset import Dataset
from nearfar.measures.modality_shells import modality_shells
from nearfar.training.prepare import model_of

T = 0.07
NAMES = ("offset", "thickness", "conformity")


def model(made):
    return model_of(made.recipe, dict(made.prepared.learner.towers))


def ours(made):
    (stage,) = [s for s in made.recipe.stages if isinstance(s, Measure)]
    assert stage.by.part == "modality_shells"
    found = modality_shells(model(made), Dataset("small", {"dev": made.records}), "dev", **stage.by.options).figures()
    return [made.loss, *(found[f"{side}_{name}"] for side in ("first", "second") for name in NAMES)]


def length(v):
    return math.sqrt(sum(a * a for a in v))


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def softmax(one, other):
    total = 0.0
    for i, v in enumerate(one):
        scores = [dot(v, w) / length(v) / length(w) / T for w in other]
        total += math.log(sum(map(math.exp, scores))) - scores[i]
    return total / len(one)


def cloud(rows, with_itself):
    n = len(rows)
    mean = [sum(column) / n for column in zip(*rows, strict=True)]
    far = [length([a - m for a, m in zip(v, mean, strict=True)]) for v in rows]
    typical = sum(far) / n
    deviation = math.sqrt(sum((d - typical) ** 2 for d in far) / n)
    cosines = [
        dot(v, w) / length(v) / length(w)
        for i, v in enumerate(rows)
        for k, w in enumerate(rows)
        if k != i or with_itself
    ]
    return [length(mean) / math.sqrt(sum(d * d for d in far) / n), deviation / typical, sum(cosines) / len(cosines)]


def figures(made, *, with_itself=False):
    x, y = (made.rows[side].vectors.double().tolist() for side in ("x", "y"))
    found = [(softmax(x, y) + softmax(y, x)) / 2]
    towers = model(made)
    towers.similarity = "dot"
    for field in ("image", "text"):
        rows = towers.encode(made.records.many(field, range(len(made.records))), side=field).tolist()
        found += cloud(rows, with_itself)
    return found


def loops(made):
    return figures(made)


def wrong(made):
    """Every record counted among the others that it is compared with."""
    return figures(made, with_itself=True)
