"""Confused values in loops: the map's absolute errors, and contrast of rows with a negative that is foretold like them."""

import math

import torch
from harness import leaf, unit

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.outputs import Outputs
from nearfar.testing.scalars import exp, log

RECORD, VIEW = [0, 1, 2, 3, 4, 5] * 2, [0] * 6 + [1] * 6
VALUE, RARITY = [0.0, 0.04, 1.0, 1.03, 2.0, 9.0] * 2, [1.0, 2.0, 0.5, 1.5, 1.0, 3.0] * 2
D, WINDOW, GAIN, WEIGHT, T = 3, 0.05, 0.4, 0.7, 0.5


def objective():
    torch.manual_seed(0)
    made = nf.confused_values(D, window=WINDOW, gain=GAIN, weight=WEIGHT, temperature=T, rarity="rarity")
    value(made).double()
    return made


def value(made):
    return made.terms["regression"].function.__self__


def parameters(made):
    return list(value(made).parameters())


def streams():
    columns = {name: torch.tensor(v, dtype=torch.float64) for name, v in (("value", VALUE), ("rarity", RARITY))}
    return {"x": nf.rows(leaf(len(RECORD), D, seed=0), record=RECORD, view=VIEW, **columns)}


def outputs(given):
    chance = Draws(0, epoch=0, record=torch.tensor(RECORD))
    return Outputs(given["x"], given["x"].vectors, None, None, None, chance, None)


def total(made, given, *, all_lose):
    z, n = given["x"].vectors, len(RECORD)
    weight, bias = value(made).map.weight[0], value(made).map.bias[0]
    foretold = [sum(weight[d] * v[d] for d in range(D)) + bias for v in z]
    loss, spared = 0.0, 0
    for i in range(n):
        loss = loss + RARITY[i] * (VALUE[i] - foretold[i]).abs() / n
        scores = [unit(z[i]) @ unit(v) / T for v in z]
        positives = [k for k in range(n) if k != i and abs(VALUE[k] - VALUE[i]) <= WINDOW]
        confused = [
            k
            for k in range(n)
            if abs(VALUE[k] - VALUE[i]) > WINDOW and float((foretold[k] - foretold[i]).detach().abs()) <= WINDOW
        ]
        if not confused:
            spared += 1
            if not all_lose:
                continue
        bottom = sum(exp(scores[p]) for p in positives)
        for k in confused:
            bottom = bottom + RARITY[i] * math.exp(GAIN * abs(VALUE[k] - VALUE[i])) * exp(scores[k])
        each = sum(log(bottom) - scores[p] for p in positives) / len(positives)
        loss = loss + WEIGHT * RARITY[i] * each / n
    assert 0 < spared < n, "some rows confuse nothing, others do"
    return loss


def loops(made, given):
    return total(made, given, all_lose=False)


def wrong(made, given):
    """Rows that are confused with nothing are contrasted with their positives alone."""
    return total(made, given, all_lose=True)
