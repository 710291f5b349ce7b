"""Contrastive search as loops: no cache, one text and one candidate at a time, cosines over single numbers."""

import math

import torch

from nearfar.generation.continuations import beginning, continuations
from nearfar.generation.language_model import language_model
from recipes.decoded import NEW, PREFIX, TEXTS, State, coded


def ours(made):
    (stage,) = made.recipe.stages
    found = continuations(**stage.by.options)(State(made))
    return coded(found[f"contrastive {i + 1}"] for i in range(TEXTS))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def search(made, alpha):
    state = State(made)
    encoder = state.towers["encoder"]
    model = language_model(encoder)
    found = []
    for text in state.records.many("text", range(TEXTS)):
        ids = beginning(encoder, text, PREFIX)
        for _ in range(NEW):
            with torch.no_grad():
                now = model(torch.tensor([ids]), output_hidden_states=True)
            p = now.logits[0, -1].double().softmax(0).tolist()
            earlier = now.hidden_states[-1][0].tolist()
            values = {}
            for v in sorted(range(len(p)), key=lambda v: -p[v])[:5]:
                with torch.no_grad():
                    state_v = (
                        model(torch.tensor([[*ids, v]]), output_hidden_states=True).hidden_states[-1][0, -1].tolist()
                    )
                values[v] = (1 - alpha) * p[v] - alpha * max(cosine(state_v, h) for h in earlier)
            best = max(values, key=values.get)
            if best == 2:
                break
            ids = [*ids, best]
        found.append(encoder.tokenizer.decode(ids[PREFIX:]))
    return coded(found)


def loops(made):
    return search(made, 0.6)


def wrong(made):
    """Greedy search."""
    return search(made, 0.0)
