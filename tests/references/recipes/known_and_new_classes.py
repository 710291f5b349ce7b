"""ProtoGCD as loops: two contrasts of projected looks, and prototypes on what lies before the projector."""

import math

import torch

import nearfar as nf
from nearfar.training.prepare import prepare, towers_of

K, T, SHARP, LEAST = 5, 0.1, 0.05, 0.2


def first(made):
    """The first step where two kinds are known and half of their pictures labelled, and what learns."""
    label = made.records.columns["label"]
    half = torch.arange(len(label)).numpy() % 8 < 4
    label = [int(k) if k < 2 and h else -1 for k, h in zip(label, half, strict=True)]
    records = made.records.with_columns(label=torch.tensor(label).numpy())
    prepared = prepare(made.recipe.fits[0], made.recipe, records, *towers_of(made.recipe, records))
    prepared.learner.eval()
    return prepared.learner, nf.backward(prepared.learner.at_this_step(), prepared.batches.streams(0))


def unit(vectors):
    vectors = vectors.detach().double()
    return (vectors / vectors.norm(dim=1, keepdim=True)).tolist()


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def contrast(z, positives, keys, t):
    scores = {k: dot(z[0], z[1][k]) / t for k in keys}
    top = max(scores.values())
    bottom = top + math.log(sum(math.exp(s - top) for s in scores.values()))
    return bottom - sum(scores[p] for p in positives) / len(positives)


def loss(made, *, unlabelled_compete=False):
    learner, step = first(made)
    rows, terms = step.rows["x"], learner.objective.terms
    record, view, label = (rows.columns[name].tolist() for name in ("record", "view", "label"))
    n = len(record)
    g = unit(terms["views"].head(rows).vectors)
    views, classes = 0.0, []
    for i in range(n):
        others = [k for k in range(n) if k != i]
        views += contrast((g[i], g), [k for k in others if record[k] == record[i]], others, 1.0) / n
        if label[i] >= 0:
            keys = [k for k in others if label[k] >= 0 or unlabelled_compete]
            classes.append(contrast((g[i], g), [k for k in others if label[k] == label[i]], keys, 0.07))
    assert 0 < len(classes) < n
    own = unit(terms["clusters/labels"].function.__self__.vectors)
    scores = [[dot(z, c) for c in own] for z in unit(rows.vectors)]
    logs = [[s / T - math.log(sum(math.exp(o / T) for o in row)) for s in row] for row in scores]
    distillation = 0.0
    for v in (0, 1):
        mine = [i for i in range(n) if view[i] == v]
        opinion, ratio = {}, {}
        for i in mine:
            shares = [math.exp(s / SHARP) for s in scores[i]]
            opinion[i] = [s / sum(shares) for s in shares]
            best, second = sorted(opinion[i], reverse=True)[:2]
            ratio[i] = best / (second + 1e-6)
        for i in sorted(mine, key=ratio.get, reverse=True)[: int(LEAST * len(mine))]:
            opinion[i] = [float(q == max(opinion[i])) for q in opinion[i]]
        for i in mine:
            (other,) = [k for k in range(n) if view[k] != v and record[k] == record[i]]
            distillation -= dot(opinion[i], logs[other]) / n
    mean = [sum(math.exp(row[k]) for row in logs) / n for k in range(K)]
    balance = sum(m * math.log(m) for m in mean) + math.log(K)
    separation = sum(
        math.log(sum(math.exp(dot(own[c], own[k]) / T) for k in range(K) if k != c) / (K - 1)) for c in range(K)
    )
    known = [i for i in range(n) if label[i] >= 0]
    labels = -sum(logs[i][label[i]] for i in known) / len(known)
    alone = views + distillation + 2 * balance + separation / K
    return 0.65 * alone + 0.35 * (labels + sum(classes) / len(classes))


def ours(made):
    return float(first(made)[1].loss)


def loops(made):
    return loss(made)


def wrong(made):
    """Pictures without a label are negatives of labelled ones."""
    return loss(made, unlabelled_compete=True)
