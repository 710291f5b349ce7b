"""Pictures and captions, where the captions most easily taken for the right one count for more (DiHT's HN-NCE).

For pictures with captions of your own where most strangers are easy to tell apart and a few are not. In a batch of random pairs most
negatives teach nothing; here each weighs exp(beta times its scaled cosine), the weights of a row keeping their sum, both ways. Raising
beta acts much like lowering the temperature, so choose them together; and a caption that fits another picture as well as its own is
taken for a hard negative, so with loose captions choose a small beta. Otherwise as CLIP; `sigmoid_captions` asks of every pair alike.

    nearfar train hard_negative_captions --data photos.csv --columns file,caption
    nearfar train hard_negative_captions --data photos.csv --set objective.rule.beta=0.5

Source: Radenovic et al. 2023 (arXiv 2301.02280), as a brief of it tells: the loss with alpha 1 and beta 0.25, which are quoted from
memory and from others' implementations, for no training code is published. The gradient flows through the weights, as in those. The
paper's other parts, a filter for captions, distilled concepts and a probe that begins at the texts of classes, are not here; towers,
view, optimiser and batches are those of `sigmoid_captions`, ours.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.objectives.sigmoid_captions import CLAIM as OF_CAPTIONS
from nearfar.recipes.objectives.sigmoid_captions import SMALL, with_softmax
from nearfar.recipes.objectives.sigmoid_captions import SMOKE as OF_SMALL

CARD = Card(
    name="hard_negative_captions",
    summary="pictures and captions, negatives that are nearer weigh more (HN-NCE of DiHT)",
    related=("hard_negatives", "sigmoid_captions", "reweigh"),
    data=("images", "texts"),
    papers=("2301.02280",),
    systems=("155",),
)

SMOKE = Smoke("captions", OF_SMALL.settings)


def recipe() -> Recipe:
    """Two towers and two-way softmax with a learned temperature, under another rule."""
    rule = Use("hard_negatives", {"alpha": 1.0, "beta": 0.25})
    contrast = Contrast(rule=rule, temperature=0.1, learn_temperature=True, both_ways=True)
    return replace(with_softmax(), name="hard_negative_captions", objective=contrast)


CLAIM = Claim(
    "weighing negatives by their hardness makes pictures and captions find each other better than InfoNCE, each at its best temperature",
    expect="hard > plain",
    arms={"hard": Arm(), "plain": Arm(with_softmax)},
    data="tuxpaint_stamps",
    measure=OF_CAPTIONS.measure,
    metric="mrr",
    margin=0.01,
    both={
        **SMALL,
        "objective.learn_temperature": False,
        "fit.batch_size": 64,
        "fit.epochs": 15,
        "fit.learning_rate": 1e-2,
    },
    tune={"objective.temperature": (0.05, 0.1, 0.2, 0.3, 0.5)},
    source="the abstract: hard negatives with distillation and filtering improve on 20 of 29 zero-shot tasks; the ablation of the loss was not seen",
    scale="500 captioned stamps of 16 x 16 pixels, a network of some 20,000 weights and a table of words, batches of 64, fifteen passes; "
    "beta 0.25; reciprocal rank of 185 candidates, both ways",
    reading="better than the plain loss by a hundredth, surely above nothing and not surely above the margin, each at "
    "the best of five temperatures; the direction is the paper's",
)
