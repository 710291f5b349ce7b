"""Next-item cross-entropy in loops: the first views' vectors against every item, one by one."""

import torch
from harness import leaf
from torch import nn

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.outputs import Outputs
from nearfar.testing.scalars import exp, log

NEXT, VIEW, D, ITEMS = [3, 1, 4, 3, 2, 1], [0, 0, 0, 0, 1, 1], 3, 4


class Tower(nn.Module):
    """The table of items alone, with one vector more for hidden items."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(ITEMS + 1, D, dtype=torch.float64)
        self.setup = type("Setup", (), {"items": ITEMS})


def objective():
    made = nf.next_item_cross_entropy()
    return nf.Objective({"next": made})


def streams():
    return {"x": nf.rows(leaf(len(NEXT), D, seed=0), next=NEXT, view=VIEW)}


TOWER = Tower()
with torch.no_grad():
    TOWER.items.weight.copy_(leaf(ITEMS + 1, D, seed=1))


def outputs(streams):
    rows = streams["x"]
    draws = Draws(0, 0, rows.columns["record"])
    return Outputs(rows=rows, features=rows.vectors, states=None, inputs=None, plain=None, draws=draws, tower=TOWER)


def parameters(objective):
    return [TOWER.items.weight]


def total(streams, first_only, hidden):
    losses = []
    for row, item, view in zip(streams["x"].vectors, NEXT, VIEW, strict=True):
        if first_only and view != 0:
            continue
        scores = [sum(a * b for a, b in zip(row, e, strict=True)) for e in TOWER.items.weight[: ITEMS + hidden]]
        losses.append(log(sum(exp(s) for s in scores)) - scores[item - 1])
    return sum(losses) / len(losses)


def loops(objective, streams):
    return total(streams, True, False)


def wrong(objective, streams):
    """The hidden item's vector competes too."""
    return total(streams, True, True)
