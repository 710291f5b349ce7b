"""iSogCLR as loops: the loss of a second look at the same batch, and the temperatures after it, when averages and momenta have begun."""

import math

import nearfar as nf

RHO, GAMMA, BETA, RATE, CLIP, LOWEST, HIGHEST, START = 2.0, 0.8, 0.9, 1e-3, 3.0, 0.05, 1.0, 0.1


def table(made):
    (term,) = made.prepared.learner.objective.terms.values()
    return term.rule.__self__


def seen(made):
    """Unit vectors of two steps, with the records of both; nothing was optimised between the two."""
    steps = []
    for step in (0, 1):
        x = nf.backward(made.prepared.learner.at_this_step(), made.prepared.batches.streams(step)).rows["x"]
        z = x.vectors.double()
        steps.append(((z / z.norm(dim=1, keepdim=True)).tolist(), x.columns["record"].tolist(), x))
    return steps


def ours(made):
    """The losses of two steps, and the temperatures that they leave."""
    losses, own = [], table(made)
    fresh = {name: value.clone() for name, value in own.state_dict().items()}
    for _, _, x in seen(made):
        losses.append(float(nf.contrast(own.objective, x)))
        own.update(x)
    temperatures = own.temperature.tolist()
    own.load_state_dict(fresh)
    assert losses[0] == made.loss
    return [*losses, *temperatures]


def walk(made, *, rho=RHO):
    n = len(table(made).temperature)
    t, v = [START] * n, [0.0] * n
    u: list[float | None] = [None] * n
    losses = []
    for z, record, _ in seen(made):
        rows = len(z)
        after, slopes, total = {}, {}, 0.0
        for i in range(rows):
            mine = record[i]

            def cosine(k, i=i, z=z):
                return sum(a * b for a, b in zip(z[i], z[k], strict=True))

            own = next(k for k in range(rows) if k != i and record[k] == mine)
            others = [k for k in range(rows) if record[k] != mine]
            h = [cosine(k) - cosine(own) for k in others]
            batch = sum(math.exp(x / t[mine]) for x in h) / len(h)
            before = u[mine]
            moved = batch if before is None else (1 - GAMMA) * before + GAMMA * batch
            w = [math.exp(x / t[mine]) / moved for x in h]
            total += sum(a * b for a, b in zip(w, h, strict=True)) / len(h)
            mean = sum(a * b / t[mine] for a, b in zip(w, h, strict=True)) / len(h)
            after.setdefault(mine, []).append(moved)
            slopes.setdefault(mine, []).append(math.log(moved) + rho - mean)
        losses.append(total / rows)
        for r, values in after.items():
            u[r] = sum(values) / len(values)
            slope = max(-CLIP, min(CLIP, sum(slopes[r]) / len(slopes[r])))
            v[r] = (1 - BETA) * v[r] + BETA * slope
            t[r] = max(LOWEST, min(HIGHEST, t[r] - RATE * v[r]))
    return [*losses, *t]


def loops(made):
    return walk(made)


def wrong(made):
    """The penalty left out of the temperatures' slope, so that they settle where all negatives count alike."""
    return walk(made, rho=0.0)
