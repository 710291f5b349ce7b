"""Momentum contrast with further negatives, mixed from each query's hardest past keys and from the query itself (MoCHi).

Near are two looks at one picture; far are the keys of the queue, all of them, as in `momentum_contrast`. A large queue holds few keys
that are hard for a given query, and a larger one hardly more of them. So harder ones are made: points between two of its hardest
keys, and between such a key and the query, nearer to the key. They cost a few products a query and no further picture. For pictures
without labels of many kinds: where there are ten kinds, most of the hardest keys are of the query's own, and mixing pushes those
away harder. `hard_negatives` and `reweigh` weigh the keys that there are.

    nearfar train hard_negative_mixing --data photos/
    nearfar train hard_negative_mixing --data photos/ --set objective.keys.size=65536 --set objective.own.hardest=1024

`objective.own.start` is the number of steps before anything is mixed; let the queue fill first.

Source: Kalantidis et al. 2020 (arXiv 2010.01028): both mixtures and their shares, on top of MoCo v2. From memory, as a brief has it, since no
code of theirs was found: 1,024 hardest of 65,536 keys, 1,024 pairs, 128 mixtures with the query, none in the first 10 to 15 of 200
passes. Ours are a sixteenth of each for a queue of 4,096, and a start after 200 steps; all else is that of `momentum_contrast`.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.views.momentum_contrast import CLAIM as OF_MOMENTUM
from nearfar.recipes.views.momentum_contrast import OWN
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES
from nearfar.recipes.views.momentum_contrast import recipe as momentum_contrast

CARD = Card(
    name="hard_negative_mixing",
    summary="momentum contrast with negatives mixed from each query's hardest keys and the query (MoCHi)",
    related=("momentum_contrast", "mixed_negatives", "queue", "hard_negatives"),
    data=("images",),
    papers=("2010.01028",),
    systems=("016",),
)

SMOKE = Smoke(
    "images",
    {
        **OF_IMAGES.settings,
        "objective.own.hardest": 8,
        "objective.own.pairs": 6,
        "objective.own.with_query": 4,
        "objective.own.start": 0,
    },
)


def recipe() -> Recipe:
    """`momentum_contrast` with keys of each row's own."""
    plain = momentum_contrast()
    assert isinstance(plain.objective, Contrast)
    mixed = Use("mixed_negatives", {"hardest": 64, "pairs": 64, "with_query": 8, "start": 200})
    return replace(plain, name="hard_negative_mixing", objective=replace(plain.objective, own=mixed))


CLAIM = Claim(
    "negatives mixed from the hardest of a queue make momentum contrast better, also beside one whose temperature was tuned as well",
    expect="mixed > plain",
    arms={
        "mixed": Arm(
            settings={
                "objective.own.hardest": 64,
                "objective.own.pairs": 64,
                "objective.own.with_query": 16,
                "objective.own.start": 32,
            }
        ),
        "plain": Arm("momentum_contrast"),
    },
    data="digits",
    measure=Use("knn_accuracy"),
    margin=0.005,
    both={**OF_MOMENTUM.both, **OWN},
    tune={"objective.temperature": (0.07, 0.1, 0.2)},
    source="the abstract: mixing makes representations of a state-of-the-art method (MoCo v2) better for classification, detection and "
    "segmentation; the tables were not seen, gains on ImageNet itself are small as a brief remembers it",
    scale="as `momentum_contrast`: a thousand digits of 8 x 8 pixels, a queue of 512, twelve passes; 64 hardest, 64 pairs and 16 mixtures "
    "with the query, an eighth of the queue as in a brief, from the second pass on. With ten classes many of the hardest are of the "
    "query's own class. Nearest neighbours on the same digits; the paper's gains are largest on other data",
    reading="no gain. With ten classes and a queue of half the data many of the hardest keys are of the query's own "
    "class, and so are their mixtures; the paper's thousand classes are the better case",
)
