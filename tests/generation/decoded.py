"""Small language models whose weights decide, and what a decoder writes after prompts of unequal length."""

import torch
import transformers

from nearfar.generation.language_model import left_padded
from tiny_models import text_config

PROMPTS = [[5, 9, 7, 30, 12, 9, 5], [8, 4], [17, 3, 3, 21]]
NEW = 12


def model_of(kind="llama", seed=0, **more):
    """Random weights made so large that they decide."""
    torch.manual_seed(seed)
    made = transformers.AutoModelForCausalLM.from_config(text_config(kind, **more)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made


def generated(model, prompts, by=None, new=NEW, **options):
    ids, mask = left_padded(prompts, 0)
    options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None} | options
    made = model.generate(ids, attention_mask=mask.long(), max_new_tokens=new, custom_generate=by, **options)
    return [row[ids.shape[1] :] for row in made.tolist()]


def generated_with_padding_seen(model, prompts, by):
    """The same where the mask says that padding is text."""
    ids, _ = left_padded(prompts, 0)
    options = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "custom_generate": by}
    return [row[ids.shape[1] :] for row in model.generate(ids, attention_mask=torch.ones_like(ids), **options).tolist()]


class Heard:
    """A streamer that remembers."""

    def __init__(self):
        self.put_, self.ended = [], False

    def put(self, tokens):
        self.put_.append(tokens.clone())

    def end(self):
        self.ended = True
