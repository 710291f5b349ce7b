"""Prototype discovery in loops: opinions of either look, the surest of them taken at their word, and the three other terms."""

import math

import torch
from harness import leaf, log_sum_exp, unit

import nearfar as nf
from nearfar.testing.scalars import exp, log

RECORD, VIEW = [4, 1, 3, 0, 2, 1, 0, 2, 3, 4], [0] * 5 + [1] * 5
LABEL = {0: 0, 1: -1, 2: 1, 3: -1, 4: 0}
K, D, T, SHARP, LEAST = 3, 4, 0.3, 0.2, 0.5
BALANCE, SEPARATION, SUPERVISED = 1.5, 0.8, 0.4


def objective():
    made = nf.prototype_discovery(
        K,
        D,
        temperature=T,
        sharp=SHARP,
        balance=BALANCE,
        separation=SEPARATION,
        supervised=SUPERVISED,
        least=LEAST,
        seed=2,
    )
    discovery(made).double()
    return made


def discovery(made):
    return made.terms["labels"].function.__self__


def parameters(made):
    return [discovery(made).vectors]


def streams():
    return {"x": nf.rows(leaf(len(RECORD), D, seed=0), record=RECORD, view=VIEW, label=[LABEL[r] for r in RECORD])}


def total(made, given, *, most_unsure):
    centres = [unit(c) for c in discovery(made).vectors]
    scores = [[unit(v) @ c for c in centres] for v in given["x"].vectors]
    logs = [[s / T - log_sum_exp([o / T for o in row]) for s in row] for row in scores]
    distillation = 0.0
    for view in (0, 1):
        mine = [i for i in range(len(RECORD)) if VIEW[i] == view]
        opinions, ratio = {}, {}
        for i in mine:
            shares = [math.exp(float(s.detach()) / SHARP) for s in scores[i]]
            opinions[i] = [s / sum(shares) for s in shares]
            best, second = sorted(opinions[i])[::-1][:2]
            ratio[i] = best / (second + 1e-6)
        for i in sorted(mine, key=ratio.get, reverse=not most_unsure)[: int(len(mine) * LEAST)]:
            opinions[i] = [float(q == max(opinions[i])) for q in opinions[i]]
        for i in mine:
            (other,) = [k for k in range(len(RECORD)) if VIEW[k] != view and RECORD[k] == RECORD[i]]
            distillation = distillation - sum(q * p for q, p in zip(opinions[i], logs[other], strict=True)) / len(
                RECORD
            )
    mean = [sum(exp(row[k]) for row in logs) / len(logs) for k in range(K)]
    balance = sum(m * log(m) for m in mean) + math.log(K)
    separation = 0.0
    for c in range(K):
        near = [exp(centres[c] @ centres[k] / T) for k in range(K) if k != c]
        separation = separation + log(sum(near) / (K - 1)) / K
    known = [i for i, r in enumerate(RECORD) if LABEL[r] >= 0]
    labels = -sum(logs[i][LABEL[RECORD[i]]] for i in known) / len(known)
    alone = distillation + BALANCE * balance + SEPARATION * separation
    return (1 - SUPERVISED) * alone + SUPERVISED * labels


def loops(made, given):
    return total(made, given, most_unsure=False)


def wrong(made, given):
    """The least sure rows are taken at their word."""
    assert torch.is_tensor(given["x"].vectors)
    return total(made, given, most_unsure=True)
