"""Texts continued by what a language model favours against a worse one, among the tokens that it holds plausible (contrastive decoding).

For whoever writes open-ended text with a causal model and has a smaller one of the same family, or none: then the amateur is the model
itself with a few tokens in sight. Nothing is trained. The stage `continue` writes a few texts on, by the contrast and by greedy
search; in a program of one's own the decoder is `model.generate(..., custom_generate=nf.amateur_contrast(smaller_model))`. Kin:
`contrastive_search_decoding` looks at states and needs one model; `layer_contrast_decoding` finds its amateur inside the model.

    nearfar train expert_amateur_decoding --data texts.txt --set encoder.folder=gpt2-xl --set continue.by.amateur=gpt2 \\
        --set continue.by.context=null
    nearfar train expert_amateur_decoding --data texts.txt --set encoder.folder=gpt2

Source: Li et al. 2022 (arXiv 2210.15097): the difference of log-probabilities under the plausibility constraint, a weight of one as in
the command of their repository; alpha = 0.1 from memory. That command sets the amateur's temperature to 0.5; 1 here, see `amateur_contrast`.
They search with a beam of five, here tokens are taken one by one. The window of 16 tokens is ours.

The claim is about both sides of their trade: more diverse than searching for likely text, more coherent than sampling. Coherence is judged
by the expert itself for want of a second model, which favours greedy search; the comparison is with sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Decode
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.generation.amateur_contrast import amateur_contrast
from nearfar.measures.continued_stories import continued_stories
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="expert_amateur_decoding",
    summary="texts continued by what a causal language model favours against a smaller or short-sighted one",
    related=("amateur_contrast", "amateur_continuations", "contrastive_search_decoding", "layer_contrast_decoding"),
    data=("texts",),
    papers=("2210.15097",),
)

SMOKE = Smoke(
    "texts",
    {
        "encoder": '{"part": "character_model", "options": {"dimension": 16, "depth": 1, "heads": 2, "max_tokens": 40}}',
        "continue.by.context": 4,
        "continue.by.texts": 2,
        "continue.by.prefix": 12,
        "continue.by.new": 10,
    },
)

SEEN = 16  # characters in the amateur's sight, some three words


def trial(_: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> Outcome:
    """Continuations of a part's beginnings by one decoder: diversity of words, coherence."""
    return continued_stories(dataset, seed, split, **DECODERS[options["decoder"]])


DECODERS: dict[str, dict[str, Any]] = {
    "contrast": {"custom_generate": amateur_contrast(context=SEEN)},
    "greedy": {"do_sample": False},
    "nucleus": {"do_sample": True, "top_p": 0.95, "top_k": 0},
}

CLAIM = Claim(
    "the contrast with an amateur is more diverse than greedy search and more coherent than nucleus sampling",
    expect="diversity: contrast > greedy, coherence: contrast > nucleus",
    arms={name: Arm(options={"decoder": name}) for name in ("contrast", "greedy", "nucleus")},
    data="tinystories_prefixes",
    trial=trial,
    metric="diversity",
    margin=0.02,
    unit="item",
    source="the abstract: better than four decoders in automatic and human evaluations of Wikipedia, news and stories",
    scale="a model of 0.9 million weights over characters, its amateur the same model with 16 characters in sight (the paper: a "
    "model of a hundredth of the size), 32 beginnings made from templates, 120 characters each, no tuning (alpha 0.1, "
    "temperature 1, nucleus 0.95), coherence in nats a character under the model itself",
    reading="far more diverse than greedy search; more coherent than nucleus sampling in direction, with zero within "
    "the interval. The amateur is the same small model with 16 characters in sight, which is a weak version "
    "of a model a hundredth of the size, and coherence is judged by the writer itself",
)


def recipe() -> Recipe:
    """A causal language model from a local folder, and its continuations against an amateur."""
    return Recipe(
        name="expert_amateur_decoding",
        encoder=Use("pretrained", {"pooling": "last"}),
        stages=(Decode("continue", Use("amateur_continuations")),),
        data="texts",
        streams=(Feed("x", "text"),),
    )
