"""Centre contrast in loops: vectors and centres of one view after the other."""

from harness import leaf

import nearfar as nf
from nearfar.testing.scalars import exp, log

RECORD, VIEW, CLUSTER = [0, 1, 2, 3, 0, 1, 2, 3], [0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 2, 0, 2, 1, 0]
D, T = 3, 0.7


def objective():
    return nf.Objective({"": nf.centre_contrast(temperature=T)})


def streams():
    centres = leaf(3, D, seed=5).detach()[CLUSTER]
    return {"x": nf.rows(leaf(len(RECORD), D, seed=0), record=RECORD, view=VIEW, cluster=CLUSTER, centre=centres)}


def total(streams, masked):
    rows = streams["x"]
    losses = []
    for view in (0, 1):
        mine = [i for i, v in enumerate(VIEW) if v == view]
        n = len(mine)
        z = [rows.vectors[i] for i in mine] + [rows.columns["centre"][i] for i in mine]
        cluster = [CLUSTER[i] for i in mine] * 2
        for i in range(2 * n):
            scores = [sum(a * b for a, b in zip(z[i], z[k], strict=True)) / T for k in range(2 * n)]
            partner = (i + n) % (2 * n)
            competitors = [
                exp(scores[k]) for k in range(2 * n) if (k % n != i % n if not masked else cluster[k] != cluster[i])
            ]
            losses.append(log(exp(scores[partner]) + sum(competitors)) - scores[partner])
    return sum(losses) / len(losses)


def loops(objective, streams):
    return total(streams, True)


def wrong(objective, streams):
    """Records of the same cluster are pushed away."""
    return total(streams, False)
