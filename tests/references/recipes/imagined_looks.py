"""Hallucinator on MoCo as loops: the second step, each query and its imagined look against its key and the queue."""

import torch

from second_step import against, first_two, rivals, second_step, term, unit

ours = first_two

T = 0.2


def imagined(query, key, network, share):
    """[q, q pushed away from k] through three linear layers with relu between."""
    pushed = [(1 + share) * a - share * b for a, b in zip(query.tolist(), key.tolist(), strict=True)]
    row = query.tolist() + pushed
    layers = [layer for layer in network if hasattr(layer, "weight")]
    for layer in layers:
        weights, bias = layer.weight.double().tolist(), layer.bias.double().tolist()
        row = [sum(w * v for w, v in zip(ws, row, strict=True)) + b for ws, b in zip(weights, bias, strict=True)]
        row = row if layer is layers[-1] else [max(0.0, v) for v in row]
    made = torch.tensor(row, dtype=torch.float64)
    return made / made.norm()


def loss(made, *, copies=1):
    step, past = second_step(made), unit(made.rows["y"])
    queries, keys = unit(step.rows["x"]), unit(step.rows["y"])
    raw = step.rows["x"].vectors.detach().double()
    maker, total = term(made, "imagined").similarity, 0.0
    share = 0.8 * float(maker.uniform("share", torch.zeros(1, dtype=torch.long)))
    for i, others in enumerate(rivals(made)):
        for query in (queries[i], imagined(raw[i], keys[i], maker.network, share)):
            total += against(float(query @ keys[i]) / T, copies * [float(query @ past[j]) / T for j in others])
    return total / len(queries)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """Every key stored twice, once for the query and once for its imagined look, as in the authors' code."""
    return [0.0, loss(made, copies=2)]
