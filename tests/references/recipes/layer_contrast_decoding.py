"""Contrast of layers as loops: no cache, one text at a time, divergences over single numbers."""

import math

from nearfar.generation.language_model import language_model
from nearfar.generation.layer_continuations import layer_continuations
from recipes.decoded import NEW, PREFIX, TEXTS, State, coded, looped, said


def ours(made):
    (stage,) = made.recipe.stages
    found = layer_continuations(**{**stage.by.options, "layers": (1, 2, 3)})(State(made))
    return coded(found[f"contrast {i + 1}"] for i in range(TEXTS))


def divergence(p, q):
    """Jensen-Shannon."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        mean = (a + b) / 2
        total += a * math.log(a / mean) / 2 + b * math.log(b / mean) / 2
    return total


def written(made, farthest):
    state = State(made)
    encoder = state.towers["encoder"]
    model = language_model(encoder)

    def choose(ids):
        p = said(model, ids)
        early = [said(model, ids, layer) for layer in (1, 2, 3)]
        q = farthest(early, key=lambda q: divergence(p, q))
        values = {v: math.log(p[v]) - math.log(q[v]) for v in range(len(p)) if p[v] >= 0.1 * max(p)}
        return max(values, key=values.get)

    prompts = [encoder.tokenizer.encode(t).ids[:PREFIX] for t in state.records.many("text", range(TEXTS))]
    return coded(encoder.tokenizer.decode(looped(ids, choose, NEW)) for ids in prompts)


def loops(made):
    return written(made, max)


def wrong(made):
    """The nearest layer instead of the farthest."""
    return written(made, min)
