"""Texts continued by what a language model's last layer favours against an early one, chosen anew for each token (DoLa).

For whoever asks a causal model for facts and has no second model to contrast it with. Nothing is trained, and a token costs one
reading and a few products with the table of tokens more. The stage `continue` writes a few texts on, by the contrast and by greedy
search; in a program of one's own it is `model.generate(..., custom_generate=nf.layer_contrast("high"))`. Kin:
`expert_amateur_decoding` contrasts two models under the same constraint, `hidden_condition_decoding` two prompts.

    nearfar train layer_contrast_decoding --data texts.txt --set encoder.folder=gpt2
    nearfar train layer_contrast_decoding --data texts.txt --set encoder.folder=gpt2 --set continue.by.layers=low

Source: Chuang et al. 2023 (arXiv 2309.03883): the layer farthest from the last one by the Jensen-Shannon divergence among every other
layer of one half of the model, which is chosen on held-out questions, and alpha = 0.1; the candidates for small models with tied tables
are those of the public code. See `layer_contrast` for where that code departs from the formula.

The claim asks for a fact that the text itself states, since a model this small knows nothing else: the name of whom a story is about, where
the story goes on to ask for it. The paper's facts are of the world, and its models a thousand times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Decode
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.datasets.tinystories_prefixes import NAMES, POSITIONS, story_model
from nearfar.generation.language_model import language_model
from nearfar.generation.layer_contrast import layer_contrast
from nearfar.generation.shared.beginnings import beginning, continued
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="layer_contrast_decoding",
    summary="texts continued by what a causal language model's last layer favours against an early one",
    related=("layer_contrast", "layer_continuations", "expert_amateur_decoding", "contrastive_search_decoding"),
    data=("texts",),
    papers=("2309.03883",),
)

SMOKE = Smoke(
    "texts",
    {
        "encoder": '{"part": "character_model", "options": {"dimension": 16, "depth": 4, "heads": 2, "max_tokens": 40}}',
        "continue.by.texts": 2,
        "continue.by.prefix": 12,
        "continue.by.new": 10,
    },
)

# Ways to ask after which greedy search writes a name, on the dev part, and the right one far more often than by chance.
QUESTIONS = (
    ' a new friend. "What is your name?" asked the friend. "My name is',
    ' a new friend. "Hello," said the friend. "Hello, my name is',
    ' a ball. Mom said, "Look,',
    ' a ball. "Thank you,',
)


def trial(_: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> Outcome:
    """Whether the story's own name is what a decoder writes where it is asked for; `named` counts any of the six names."""
    del seed  # no chance in it
    encoder = story_model()
    model = language_model(encoder)
    asked = [(text, question) for text in dataset.part(split).fields["text"] for question in QUESTIONS]
    by = {"custom_generate": layer_contrast(options["layers"])} if options["decoder"] == "layers" else {}
    prompts = [beginning(encoder, f" {text}{question}", POSITIONS - 8) for text, question in asked]
    written = [encoder.tokenizer.decode(ids) for ids in continued(model, prompts, 8, do_sample=False, **by)]
    names = [next(name for name in NAMES if name in text) for text, _ in asked]
    recalled = np.array([answer.startswith(f" {name}") for answer, name in zip(written, names, strict=True)], float)
    named = np.array([answer.strip().startswith(NAMES) for answer in written], float)
    return Outcome(
        "recall",
        "recalled",
        "questions",
        {"recalled": recalled, "named": named},
        means=("recalled", "named"),
        names=[f"{text}{question}" for text, question in asked],
    )


CLAIM = Claim(
    "the contrast of layers recalls a story's name more often than greedy search",
    expect="layers > greedy",
    arms={"layers": Arm(options={"decoder": "layers"}), "greedy": Arm(options={"decoder": "greedy"})},
    data="tinystories_prefixes",
    trial=trial,
    metric="recalled",
    margin=0.02,
    unit="item",
    tune={"layers": ("low", "high")},
    source="the abstract: LLaMA models 12 to 17 points more truthful on TruthfulQA",
    scale="a model of five layers and 0.9 million weights over characters, 128 questions (32 beginnings made from templates, four ways "
    "to ask), the name that the beginning gives, the half of the layers chosen on the dev part",
    reading="nothing to be seen: one or two stories of 128 more. A small model of characters holds hardly any facts "
    "that late layers could add",
)


def recipe() -> Recipe:
    """A causal language model from a local folder, and its continuations by the contrast of layers."""
    return Recipe(
        name="layer_contrast_decoding",
        encoder=Use("pretrained", {"pooling": "last"}),
        stages=(Decode("continue", Use("layer_continuations")),),
        data="texts",
        streams=(Feed("x", "text"),),
    )
