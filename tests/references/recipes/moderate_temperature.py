"""InfoNCE over views at temperature 0.3 as loops, and what the stage after it measures of the model, in loops too."""

import math

from nearfar.core.stage import Measure
from nearfar.data.dataset import Dataset
from nearfar.measures.temperature_effects import temperature_effects
from nearfar.training.prepare import model_of

NAMES = ("uniformity", "effective_negatives@0.3", "within", "between")


def model(made):
    return model_of(made.recipe, dict(made.prepared.learner.towers))


def ours(made):
    assert [(s.name, s.by) for s in made.recipe.stages if isinstance(s, Measure)] == [
        ("effects", "temperature_effects")
    ]
    found = temperature_effects(model(made), Dataset("small", {"dev": made.records}), "dev").figures()
    return [made.loss, *(found[name] for name in NAMES)]


def loss(made, temperature):
    z = made.rows["x"].vectors.double()
    z = z / z.norm(dim=1, keepdim=True)
    rows, total = len(z), 0.0
    for i in range(rows):
        scores = {k: float(z[i] @ z[k]) / temperature for k in range(rows) if k != i}
        total += math.log(sum(map(math.exp, scores.values()))) - scores[(i + rows // 2) % rows]
    return total / rows


def effects(made, *, pair_with_itself):
    x = model(made).encode(made.records.many("image", range(len(made.records)))).astype(float)
    labels = made.records.columns["label"].tolist()
    n = len(x)
    potentials, numbers, near, far = [], [], [], []
    for i in range(n):
        exponentials = []
        for j in range(n):
            if j == i and not pair_with_itself:
                continue
            cosine = float((x[i] * x[j]).sum())
            potentials.append(math.exp(-2 * float(((x[i] - x[j]) ** 2).sum())))
            exponentials.append(math.exp(cosine / 0.3))
            (near if labels[i] == labels[j] else far).append(cosine)
        shares = [e / sum(exponentials) for e in exponentials]
        numbers.append(math.exp(-sum(r * math.log(r) for r in shares)))
    return [math.log(sum(potentials) / len(potentials)), *(sum(v) / len(v) for v in (numbers, near, far))]


def loops(made):
    return [loss(made, 0.3), *effects(made, pair_with_itself=False)]


def wrong(made):
    """Every record counted as a partner and a negative of itself."""
    return [loss(made, 0.3), *effects(made, pair_with_itself=True)]
