"""What the loops of recipes that decode share: the state of a run with weights that decide, and texts as numbers."""

import torch

from nearfar.training.prepare import towers_of

TEXTS, PREFIX, NEW = 2, 12, 10
END = 2


class State:
    """What the stage looks at. Fresh weights say nearly the same of every token; made larger, they decide."""

    def __init__(self, made):
        towers, _ = towers_of(made.recipe, made.records)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in towers["encoder"].parameters():
                p.add_(torch.randn(p.shape, generator=generator), alpha=0.3)
        self.towers, self.records, self.held_out = {"encoder": towers["encoder"].eval()}, made.records, None


def coded(texts):
    """Characters as numbers, each text of a length that is kept."""
    return [number for text in texts for number in [*map(ord, text.ljust(NEW, "\0"))]]


def said(model, ids, layer=None):
    """Probabilities of the next token, by the last layer or by an early one; the whole text is read anew."""
    with torch.no_grad():
        made = model(torch.tensor([ids]), output_hidden_states=True)
        scores = made.logits[0, -1] if layer is None else model.lm_head(made.hidden_states[layer][0, -1])
    return scores.double().softmax(0).tolist()


def looped(prompt, choose, new):
    """Ids after the prompt, up to the end."""
    ids = list(prompt)
    for _ in range(new):
        best = choose(ids)
        if best == END:
            break
        ids.append(best)
    return ids[len(prompt) :]
