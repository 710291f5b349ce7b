"""SBCL as loops: supervised contrast first; then subclasses as computed before the stage, and the classes they are of, with their temperatures."""

import math

import numpy as np

import nearfar as nf
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.refresh import refreshed

T, WEIGHT = 0.1, 0.25


def second_stage(made):
    """The first step of the second stage, as if there had been no first one, with three classes of the made-up data as one."""
    stage = made.recipe.fits[1]
    records = made.records.with_columns(label=np.where(made.records.columns["label"] == 3, 3, 0))
    prepared = prepare(stage, made.recipe, records, *towers_of(made.recipe, records))
    prepared.learner.eval()
    columns = refreshed(stage.refresh, prepared.batches, made.recipe.seed)
    prepared.batches.with_columns(**columns)
    return nf.backward(prepared.learner.at_this_step(), prepared.batches.streams(0)), columns


def unit(rows):
    vectors = rows.vectors.detach().double()
    return (vectors / vectors.norm(dim=1, keepdim=True)).tolist()


def term(scores, positives, keys, t):
    bottom = math.log(sum(math.exp(scores[k] / t) for k in keys))
    return sum(bottom - scores[p] / t for p in positives) / len(positives)


def loss(rows, columns, *, subclasses_compete=False):
    z, record = unit(rows), rows.columns["record"].tolist()
    label = rows.columns["label"].tolist()
    n, total, plain = len(z), 0.0, 0.0
    for i in range(n):
        scores = [sum(a * b for a, b in zip(z[i], v, strict=True)) for v in z]
        others = [k for k in range(n) if k != i]
        plain += term(scores, [k for k in others if label[k] == label[i]], others, T) / n
        if columns is None:
            continue
        subclass, t = columns["subclass"], float(columns["temperature"][record[i]])
        mates = [k for k in others if subclass[record[k]] == subclass[record[i]]]
        beyond = [k for k in others if subclass[record[k]] != subclass[record[i]] or record[k] == record[i]]
        kin = [k for k in beyond if label[k] == label[i]]
        first = term(scores, mates, others, T) * T / 0.07
        total += (first + WEIGHT * term(scores, kin, others if subclasses_compete else beyond, t)) / n
    return plain if columns is None else total


def ours(made):
    """Both stages; the authors' first term, and so the sum, is T / 0.07 times ours."""
    step, _ = second_stage(made)
    return [made.loss, float(step.loss) * T / 0.07]


def loops(made):
    step, columns = second_stage(made)
    return [loss(made.rows["x"], None), loss(step.rows["x"], columns)]


def wrong(made):
    """Mates of the subclass compete in the second term."""
    step, columns = second_stage(made)
    assert len(set(columns["subclass"].tolist())) == 4, "a large class of three subclasses, and a small one"
    return [loss(made.rows["x"], None), loss(step.rows["x"], columns, subclasses_compete=True)]
