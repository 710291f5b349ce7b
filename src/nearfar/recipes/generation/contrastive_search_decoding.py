"""Texts continued by contrastive search: of the likely next tokens the one whose state is least like those of the tokens before.

Near and far are states of one text's tokens: a text that repeats itself has states that are near each other, and that is what is
avoided. Nothing is trained: any causal language model decodes so, if its states can be told apart. The stage `continue` writes a few
texts on, by contrastive and by greedy search, from their own beginnings; in a program of one's own the decoder is
`model.generate(..., custom_generate=nf.contrastive_search())`.

    nearfar train contrastive_search_decoding --data texts.txt --set encoder.folder=gpt2
    nearfar train contrastive_search_decoding --data texts.txt --set encoder.folder=gpt2 --set continue.by.alpha=0.4

Source: Su and Collier 2022 (arXiv 2210.14140), k = 5 and alpha = 0.6 as in their code, by a note of it; the method is that of SimCTG
(Su et al. 2022, arXiv 2202.06417) without its training. That people judge such text nearly as good as human text, in 12 of 16
languages, is beyond this scale, and so are the figures of the paper, which were not seen.

The claim here is about the trade that is behind it: more diverse than what searches for likely text, more coherent than sampling.
Coherence ought to be judged by a model that did not write the texts. No second one is at hand at this size, so it is that of the
model itself, which favours greedy and beam search; between contrastive search and sampling, the comparison that is made, it favours
whoever prefers likely tokens. Read that half of the claim as a check that diversity is not bought with nonsense.
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
from nearfar.generation.contrastive_search import contrastive_search
from nearfar.measures.continued_stories import continued_stories
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="contrastive_search_decoding",
    summary="texts continued by contrastive search, with any causal language model and without training",
    related=("contrastive_search", "continuations", "character_model", "isotropy", "diversity", "coherence"),
    data=("texts",),
    papers=("2210.14140",),
    systems=("085",),
)

SMOKE = Smoke(
    "texts",
    {
        "encoder": '{"part": "character_model", "options": {"dimension": 16, "depth": 1, "heads": 2, "max_tokens": 40}}',
        "continue.by.texts": 2,
        "continue.by.prefix": 12,
        "continue.by.new": 10,
    },
)


def trial(_: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> Outcome:
    """Continuations of a part's beginnings by one decoder: diversity of words, coherence, isotropy."""
    return continued_stories(dataset, seed, split, **DECODERS[options["decoder"]])


DECODERS: dict[str, dict[str, Any]] = {
    "contrastive": {"custom_generate": contrastive_search(5, 0.6)},
    "greedy": {"do_sample": False},
    "beam": {"do_sample": False, "num_beams": 4},
    "nucleus": {"do_sample": True, "top_p": 0.95, "top_k": 0},
}

CLAIM = Claim(
    "contrastive search is more diverse than greedy and beam search, and more coherent than nucleus sampling",
    expect="diversity: contrastive > greedy, diversity: contrastive > beam, coherence: contrastive > nucleus",
    arms={name: Arm(options={"decoder": name}) for name in ("contrastive", "greedy", "beam", "nucleus")},
    data="tinystories_prefixes",
    trial=trial,
    metric="diversity",
    margin=0.02,
    unit="item",
    source="automatic evaluation there, English: diversity near that of people, coherence above sampling (not seen)",
    scale="a model of 0.9 million weights over characters, 32 beginnings made from templates, 120 characters each, the "
    "published settings of every decoder without tuning (k 5 and alpha 0.6, beam 4, nucleus 0.95), coherence in nats a "
    "character under the model itself",
    reading="holds on a model of characters. Beam search is more diverse here than greedy search, unlike in the paper's "
    "models of words",
)


def recipe() -> Recipe:
    """A causal language model from a local folder, and its continuations."""
    return Recipe(
        name="contrastive_search_decoding",
        encoder=Use("pretrained", {"pooling": "last"}),
        stages=(Decode("continue", Use("continuations")),),
        data="texts",
        streams=(Feed("x", "text"),),
    )
