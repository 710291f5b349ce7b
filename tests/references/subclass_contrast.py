"""Subclass contrast in loops: mates of the subclass first, then the rest of the class, each against what its formula says."""

import torch
from harness import leaf, unit

import nearfar as nf
from nearfar.testing.scalars import exp, log

RECORD, VIEW = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4], [0] * 5 + [1] * 5
LABEL, SUBCLASS, TEMPERATURE = [0, 0, 0, 1, -1] * 2, [0, 0, 1, 2, -1] * 2, [0.3, 0.3, 0.3, 0.7, 0.5] * 2
D, T, WEIGHT = 3, 0.4, 0.3


def objective():
    return nf.subclass_contrast(temperature=T, weight=WEIGHT)


def streams():
    columns = {"label": LABEL, "subclass": SUBCLASS, "temperature": torch.tensor(TEMPERATURE, dtype=torch.float64)}
    return {"x": nf.rows(leaf(len(RECORD), D, seed=0), record=RECORD, view=VIEW, **columns)}


def total(streams, *, all_compete):
    z = [unit(v) for v in streams["x"].vectors]
    n, loss = len(z), 0.0

    def same(values, i, k):
        return RECORD[i] == RECORD[k] or (values[i] == values[k] and values[i] >= 0)

    for i in range(n):
        others = [k for k in range(n) if k != i]
        scores = [z[i] @ z[k] for k in range(n)]
        mates = [k for k in others if same(SUBCLASS, i, k)]
        beyond = [k for k in others if not same(SUBCLASS, i, k) or RECORD[i] == RECORD[k]]
        kin = [k for k in beyond if same(LABEL, i, k)]
        bottom = log(sum(exp(scores[a] / T) for a in others))
        loss = loss + sum(bottom - scores[p] / T for p in mates) / len(mates) / n
        t = TEMPERATURE[i]
        bottom = log(sum(exp(scores[a] / t) for a in (others if all_compete else beyond)))
        loss = loss + WEIGHT * sum(bottom - scores[p] / t for p in kin) / len(kin) / n
    return loss


def loops(objective, streams):
    return total(streams, all_compete=False)


def wrong(objective, streams):
    """Mates of the subclass compete in the second term too."""
    return total(streams, all_compete=True)
