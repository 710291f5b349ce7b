"""ConR as loops: errors of the map, and near values against far ones that the map takes for near."""

import math

WINDOW, GAIN, WEIGHT, T = 0.2, 0.2, 0.25, 0.07


def loss(made, *, linear=False):
    rows = made.rows["x"]
    value = made.prepared.learner.objective.terms["regression"].function.__self__
    weight, bias = value.map.weight[0].tolist(), value.map.bias.tolist()[0]
    vectors, y = rows.vectors.double().tolist(), rows.columns["label"].tolist()
    n, total = len(y), 0.0
    foretold = [sum(w * a for w, a in zip(weight, v, strict=True)) + bias for v in vectors]
    length = [math.sqrt(sum(a * a for a in v)) for v in vectors]
    for i in range(n):
        total += abs(y[i] - foretold[i]) / n
        scores = [
            sum(a * b for a, b in zip(vectors[i], v, strict=True)) / length[i] / m / T
            for v, m in zip(vectors, length, strict=True)
        ]
        near = [k for k in range(n) if k != i and abs(y[k] - y[i]) <= WINDOW]
        far = [k for k in range(n) if abs(y[k] - y[i]) > WINDOW]
        confused = [k for k in far if abs(foretold[k] - foretold[i]) <= WINDOW]
        if not confused:
            continue
        top = max(scores)
        bottom = sum(math.exp(scores[p] - top) for p in near)
        apart = {k: GAIN * abs(y[k] - y[i]) for k in confused}
        bottom += sum((apart[k] if linear else math.exp(apart[k])) * math.exp(scores[k] - top) for k in confused)
        total += WEIGHT * sum(math.log(bottom) + top - scores[p] for p in near) / len(near) / n
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """Negatives weigh in proportion to the distance of values, not exponentially."""
    return loss(made, linear=True)
