"""Hallucinator on MoCo as loops: the second step, each query and its imagined look against its key and the queue."""

import torch

from second_step import against, first_two, second_step

T, SPREAD = 0.2, 0.8

ours = first_two


def imagined(query, key, network, share):
    """[q, q pushed away from k] through three linear layers with relu between."""
    pushed = [(1 + share) * a - share * b for a, b in zip(query.tolist(), key.tolist(), strict=True)]
    row = query.tolist() + pushed
    layers = [layer for layer in network if hasattr(layer, "weight")]
    for layer in layers:
        weights, bias = layer.weight.tolist(), layer.bias.tolist()
        row = [sum(w * v for w, v in zip(ws, row, strict=True)) + b for ws, b in zip(weights, bias, strict=True)]
        row = row if layer is layers[-1] else [max(0.0, v) for v in row]
    made = torch.tensor(row, dtype=torch.float64)
    return made / made.norm()


def loss(made, *, away=1):
    step, total = second_step(made), 0.0
    maker, past = step.term("imagined").similarity, step.past.vectors
    share = away * SPREAD * float(maker.uniform("share", torch.zeros(1, dtype=torch.long)))
    for query, key, others in zip(step.x.vectors, step.y.vectors, step.rivals(), strict=True):
        for look in (query, imagined(query, key, maker.network, share)):
            total += against(float(look @ key) / T, [float(look @ past[j]) / T for j in others])
    return total / len(step.x)


def loops(made):
    return [0.0, loss(made)]


def wrong(made):
    """The query drawn towards its key: interpolation."""
    return [0.0, loss(made, away=-1)]
