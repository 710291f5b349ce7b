"""Prompts answered by what a language model says because of a condition, not in spite of it (self-contrastive decoding, overshadowing).

For whoever asks a causal model with several conditions of which one is rare: the model then answers as if only the common ones were
there. A record is a pair: the prompt (`query`), and the same prompt with the rare condition hidden (`document`). Nothing is trained. The
stage `answer` answers a few, by the contrast and by greedy search; in a program of one's own the decoder is
`model.generate(..., custom_generate=nf.prompt_contrast(ids_without_it))`. Kin: `expert_amateur_decoding` contrasts two models under the
same constraint, `layer_contrast_decoding` two layers.

    nearfar train hidden_condition_decoding --data prompts.jsonl --set encoder.folder=gpt2
    nearfar train hidden_condition_decoding --data prompts.jsonl --set encoder.folder=gpt2 --set answer.by.weight=0.5

Source: Zhang et al. 2024 (arXiv 2407.08039), the formula as a note of it tells and from memory; alpha = 0.1 and weight 1 are those of
contrastive decoding, since the paper's own were not seen. Their detector, which finds the condition to hide and penalises tokens that
leave the plausible ones, is not here: which condition is rare is given, by the record.

The claim trains a small model on made-up facts, each rare fact seen as often in every arm, its popular rival as often or ten times as
often. Prompts with a hidden condition are among what is trained on, so that they are nothing strange. `popular` and `rare` say how many
facts of either kind are answered right: the contrast must not pay for one with the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Decode
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.encoders.character_model import CharacterModel
from nearfar.generation.language_model import language_model
from nearfar.generation.prompt_contrast import prompt_contrast
from nearfar.generation.shared.beginnings import continued

CARD = Card(
    name="hidden_condition_decoding",
    summary="prompts answered by what a causal language model says less what it says with a condition hidden",
    related=("prompt_contrast", "hidden_condition_answers", "expert_amateur_decoding", "layer_contrast_decoding"),
    data=("pairs",),
    papers=("2407.08039",),
    systems=("113",),
)

SMOKE = Smoke(
    "pairs",
    {
        "encoder": '{"part": "character_model", "options": {"dimension": 16, "depth": 1, "heads": 2, "max_tokens": 120}}',
        "answer.by.texts": 2,
        "answer.by.new": 10,
    },
)

# Chosen on the dev part so that greedy search knows most facts, but not all.
EXPOSURES, WIDTH, BATCH, RATE = 10, 32, 32, 3e-3
HIDDEN_SHARE = 0.1  # of what is trained on: prompts that name no condition


def trial(_: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> dict[str, float]:
    """A model trained on a part's facts and asked for them: how often the rare one is answered with the popular one's answer."""
    facts = dataset.part(split).fields
    encoder = memorised(facts, options["ratio"], seed)
    model = language_model(encoder)

    def answers(prompts: Sequence[str]) -> list[str]:
        ids, hidden = ([encoder.tokenizer.encode(text).ids for text in texts] for texts in (prompts, facts["hidden"]))
        by = prompt_contrast(torch.tensor(hidden), weight=options["weight"])
        chosen = {"custom_generate": by} if options["decoder"] == "contrast" else {"do_sample": False}
        return [encoder.tokenizer.decode(new) for new in continued(model, ids, 1, **chosen)]

    def share(found: Sequence[str], wanted: str) -> float:
        return float(np.mean([one == other for one, other in zip(found, facts[wanted], strict=True)]))

    rare, popular = answers(facts["rare"]), answers(facts["popular"])
    return {
        "hallucinated": share(rare, "popular_answer"),
        "rare": share(rare, "rare_answer"),
        "popular": share(popular, "popular_answer"),
    }


def memorised(facts: Mapping[str, Sequence[str]], ratio: int, seed: int) -> CharacterModel:
    """A small model that saw each rare fact EXPOSURES times, and each popular one `ratio` times as often, in a drawn order."""
    texts = {
        kind: [p + a for p, a in zip(facts[kind], facts[f"{kind}_answer"], strict=True)] for kind in ("popular", "rare")
    }
    blank = {kind: [h + a for h, a in zip(facts["hidden"], facts[f"{kind}_answer"], strict=True)] for kind in texts}
    known = {"text": [*texts["popular"], *texts["rare"], *facts["hidden"]]}
    encoder = CharacterModel.fit(known, dimension=WIDTH, depth=2, heads=4, max_tokens=16, seed=seed)
    model, chance = language_model(encoder), np.random.default_rng(seed)
    ids = {
        kind: torch.tensor([[encoder.tokenizer.encode(t).ids for t in some[kind]] for some in (texts, blank)])
        for kind in texts
    }
    both = torch.cat([ids["popular"], ids["rare"]], 1)  # [named or hidden, facts, tokens]
    n = len(facts["rare"])
    seen = chance.permutation(np.repeat(np.arange(2 * n), np.repeat([EXPOSURES * ratio, EXPOSURES], n)))
    hidden = (chance.random(len(seen)) < HIDDEN_SHARE).astype(np.int64)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    for start in range(0, len(seen), BATCH):
        rows = both[hidden[start : start + BATCH], seen[start : start + BATCH]]
        loss = functional.cross_entropy(model(rows[:, :-1], use_cache=False).logits[:, -1], rows[:, -1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encoder


CLAIM = Claim(
    "a popular fact overshadows a rare one the more, the more often it was seen, and the contrast with the hidden condition undoes it",
    expect="uneven > even, uneven > contrast",
    arms={
        "uneven": Arm(options={"decoder": "greedy", "ratio": 10}),
        "even": Arm(options={"decoder": "greedy", "ratio": 1}),
        "contrast": Arm(options={"decoder": "contrast", "ratio": 10}),
    },
    data="two_condition_facts",
    trial=trial,
    metric="hallucinated",
    better="lower",
    margin=0.05,
    n=10,
    tune={"weight": (0.5, 1.0)},
    source="the abstract: hallucination grows with the imbalance, and 11.2 to 39.4 % of it is controlled; 78.5 % at 10 to 1 on Llama-2-7B "
    "(a third party's note)",
    scale="a model of two layers trained from scratch on 120 made-up facts of one token each, popular ones seen 100 or 10 times and "
    "rare ones 10 times; the hidden condition is given, not detected",
    reading="the overshadowing is there and the contrast takes more than half of it away, seven points of thirteen "
    "with p = 0.002; the intervals lie above zero, and not wholly above the margin",
)


def recipe() -> Recipe:
    """A causal language model from a local folder, and its answers to prompts against the same with a condition hidden."""
    return Recipe(
        name="hidden_condition_decoding",
        encoder=Use("pretrained", {"pooling": "last"}),
        stages=(Decode("answer", Use("hidden_condition_answers")),),
        data="pairs",
    )
