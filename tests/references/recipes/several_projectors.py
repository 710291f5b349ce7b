"""AMCL as loops: three projectors, in each the partner and the nearest other look, at temperatures from what a network makes of both."""

import math

OUT, HEADS, LOWER, UPPER, BETA = 4, 3, 0.1, 2.0, 0.1


def layers(network, vector):
    """A network of two layers, unit by unit."""
    first, _, second = network
    hidden = [
        max(0.0, sum(w * v for w, v in zip(weights, vector, strict=True)) + bias)
        for weights, bias in zip(first.weight.tolist(), first.bias.tolist(), strict=True)
    ]
    return [
        sum(w * h for w, h in zip(weights, hidden, strict=True)) + bias
        for weights, bias in zip(second.weight.tolist(), second.bias.tolist(), strict=True)
    ]


def product(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def omega(t):
    return OUT / 2 * math.log(t) + 1 / t


def loss(made, *, hardest_by_score=False):
    model = made.prepared.learner.objective.terms["head0"].rule.__self__
    x = made.rows["x"].vectors.double().tolist()
    record = made.rows["x"].columns["record"].tolist()
    rows, total = len(x), 0.0
    assert len(model.heads) == HEADS
    for head in model.heads:
        z, p = [], []
        for vector in x:
            projected = layers(head, vector)
            length = math.sqrt(product(projected, projected))
            z.append([v / length for v in projected])
            p.append(layers(model.phi, z[-1]))
        for i in range(rows):

            def temperature(k, i=i, p=p):
                return LOWER + (UPPER - LOWER) / (1 + math.exp(product(p[i], p[k])))

            def hardness(k, i=i, z=z, temperature=temperature):
                return product(z[i], z[k]) / (temperature(k) if hardest_by_score else 1)

            own = next(k for k in range(rows) if k != i and record[k] == record[i])
            worst = max((k for k in range(rows) if record[k] != record[i]), key=hardness)
            near, far = temperature(own), temperature(worst)
            total += product(z[i], z[worst]) / far - product(z[i], z[own]) / near
            total += BETA * (omega(near) - omega(far))
    return total / rows


def loops(made):
    return loss(made)


def wrong(made):
    """The hardest negative by its score at its own temperature, instead of by the cosine."""
    return loss(made, hardest_by_score=True)
