"""SimCLR without the positive in the denominator (DCL): the gradient no longer fades where the positive is easy.

Of two looks at each picture, all looks at other pictures are negatives, of both views in one sum. InfoNCE multiplies its gradient by
one minus the softmax probability of the positive, which is near zero for easy pairs among few negatives; without the positive
in the denominator that factor is one. So it should matter at small batches and hardly at large ones. Otherwise `image_views`.

    nearfar train decoupled_views --data photos/ --set fit.batch_size=32

Source: Yeh et al. 2021 (arXiv 2110.06848): the loss, and batches of 256 on ImageNet; temperature 0.1 as common re-implementations
have it (the paper's own value was not seen). DCLW, which weights the positives, is `decoupled_weighted`.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.image.image_views import recipe as image_views

CARD = Card(
    name="decoupled_views",
    summary="SimCLR without the positive in the denominator, for small batches (DCL)",
    related=("decoupled", "image_views", "decoupled_weighted"),
    data=("images",),
    papers=("2110.06848",),
    systems=("093",),
)

SMOKE = Smoke(
    "images", {"encoder.size": 16, "encoder.width": 8, "encoder.stages": 2, "fit.batch_size": 16, "fit.epochs": 2}
)

CLAIM = Claim(
    "in batches of 16, where InfoNCE's coupling of positive and negatives is strongest, dropping it gives better features",
    expect="decoupled > simclr",
    arms={"decoupled": Arm(), "simclr": Arm(settings={"objective.rule": "info_nce"})},
    data="digits",
    measure=Use("knn_accuracy"),
    margin=0.005,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "fit.batch_size": 16,
        "fit.epochs": 3,
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]',
    },
    tune={"objective.temperature": (0.1, 0.2, 0.5), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: 68.2 % on ImageNet in batches of 256 for 200 passes, 6.4 points more than SimCLR, and no need of "
    "large batches",
    scale="a network of 77,000 weights, a thousand digits of 8 x 8 pixels, windows of 0.4 to 1 of the picture for views, three "
    "passes; nearest neighbours for a linear classifier",
    reading="the difference has the stated sign and is smaller than the noise of ten seeds: 497 test digits and a task that"
    " both solve to 93 % leave it little room. Nothing here speaks against the claim, and nothing shows it",
)


def recipe() -> Recipe:
    """`image_views` with another rule."""
    contrast = Contrast(rule="decoupled", relation="multi_view", temperature=0.1, both_ways=False, y=None)
    return replace(image_views(), name="decoupled_views", objective=contrast)
