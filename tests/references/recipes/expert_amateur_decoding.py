"""Contrast with an amateur that sees four characters, as loops: no cache, one text at a time, probabilities as single numbers."""

import math

from nearfar.generation.amateur_continuations import amateur_continuations
from nearfar.generation.language_model import language_model
from recipes.decoded import NEW, PREFIX, TEXTS, State, coded, looped, said

SEEN = 4


def ours(made):
    (stage,) = made.recipe.stages
    found = amateur_continuations(**stage.by.options)(State(made))
    return coded(found[f"contrast {i + 1}"] for i in range(TEXTS))


def written(made, expert_sees, amateur_sees):
    state = State(made)
    encoder = state.towers["encoder"]
    model = language_model(encoder)

    def choose(ids):
        p, q = said(model, ids[-expert_sees:]), said(model, ids[-amateur_sees:])
        values = {v: math.log(p[v]) - math.log(q[v]) for v in range(len(p)) if p[v] >= 0.1 * max(p)}
        return max(values, key=values.get)

    prompts = [encoder.tokenizer.encode(t).ids[:PREFIX] for t in state.records.many("text", range(TEXTS))]
    return coded(encoder.tokenizer.decode(looped(ids, choose, NEW)) for ids in prompts)


def loops(made):
    return written(made, PREFIX + NEW, SEEN)


def wrong(made):
    """The two exchanged."""
    return written(made, SEEN, PREFIX + NEW)
