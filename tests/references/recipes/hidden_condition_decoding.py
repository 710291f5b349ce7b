"""Contrast of two prompts as loops: no cache, one prompt at a time, probabilities as single numbers."""

import math

from nearfar.generation.hidden_condition_answers import hidden_condition_answers
from nearfar.generation.language_model import language_model
from recipes.decoded import NEW, TEXTS, State, coded, looped, said


def ours(made):
    (stage,) = made.recipe.stages
    found = hidden_condition_answers(**stage.by.options)(State(made))
    return coded(found[f"contrast {i + 1}"] for i in range(TEXTS))


def written(made, weight):
    state = State(made)
    encoder = state.towers["encoder"]
    model = language_model(encoder)
    found = []
    for whole, hidden in zip(*(state.records.many(f, range(TEXTS)) for f in ("query", "document")), strict=True):
        prompt, less = encoder.tokenizer.encode(whole).ids, encoder.tokenizer.encode(hidden).ids

        def choose(ids, prompt=prompt, less=less):
            p, q = said(model, ids), said(model, [*less, *ids[len(prompt) :]])
            values = {v: math.log(p[v]) - weight * math.log(q[v]) for v in range(len(p)) if p[v] >= 0.1 * max(p)}
            return max(values, key=values.get)

        found.append(encoder.tokenizer.decode(looped(prompt, choose, NEW)))
    return coded(found)


def loops(made):
    return written(made, 1.0)


def wrong(made):
    """Greedy search."""
    return written(made, 0.0)
