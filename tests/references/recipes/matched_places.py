"""Dense contrast as loops over places, whole pictures beside it, and what the stage after it measures of the places."""

import math

import numpy as np
import torch

from nearfar.core.stage import Measure
from nearfar.data.dataset import Dataset
from nearfar.measures.dense_effects import dense_effects
from nearfar.training.prepare import model_of

T, NAMES = 0.2, ("alignment", "uniformity_within", "uniformity_across")


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def contrast(table, *, every_place=False):
    """Of rows of a stream; a row's positive is the most similar row of the other look at its picture."""
    z = unit(table.vectors.double())
    record, view = table.columns["record"].tolist(), table.columns["view"].tolist()
    score, total = (z @ z.T / T).tolist(), 0.0
    for i in range(len(z)):
        able = [score[i][k] for k in range(len(z)) if record[k] == record[i] and view[k] != view[i]]
        others = [score[i][k] for k in range(len(z)) if record[k] != record[i]]
        top = max(able)
        positive = sum(able) / len(able) if every_place else top
        below = [*others, *(able if every_place else [top])]
        total += math.log(sum(map(math.exp, below))) - positive
    return total / len(z)


def effects(made):
    model = model_of(made.recipe, dict(made.prepared.learner.towers))
    return model, dense_effects(model, Dataset("small", {"dev": made.records}), "dev").figures()


def ours(made):
    assert [(s.name, s.by) for s in made.recipe.stages if isinstance(s, Measure)] == [("effects", "dense_effects")]
    found = effects(made)[1]
    return [made.loss, *(found[name] for name in NAMES)]


def measured(made):
    """In loops over the places of every picture, still and moved by two pixels, which is one place of the map of four."""
    tower = effects(made)[0].tower("image")
    pictures = tower.prepare(made.records.many("image", range(len(made.records))))
    with torch.no_grad():
        still, moved = (
            tower(p, "places").vectors.double().unflatten(0, (len(p), 4, 4))
            for p in (pictures, torch.roll(pictures, 2, 3))
        )
    x, y = unit(still[:, :, :-1]).flatten(1, 2).numpy(), unit(moved[:, :, 1:]).flatten(1, 2).numpy()
    n, places = x.shape[:2]
    far = [float(((x[b, s] - y[b, s]) ** 2).sum()) for b in range(n) for s in range(places)]
    within, across = [], []
    for b in range(n):
        for other in range(n):
            apart = ((x[b][:, None] - x[other][None]) ** 2).sum(2)
            potential = np.exp(-2 * apart)
            if b == other:
                within += [float(potential[s, r]) for s in range(places) for r in range(places) if r != s]
            else:
                across += potential.flatten().tolist()
    return [sum(far) / len(far), *(math.log(sum(v) / len(v)) for v in (within, across))]


def loops(made):
    return [contrast(made.rows["places"]) + contrast(made.rows["x"]), *measured(made)]


def wrong(made):
    """All places of the other look are positives."""
    return [contrast(made.rows["places"], every_place=True) + contrast(made.rows["x"]), *measured(made)]
