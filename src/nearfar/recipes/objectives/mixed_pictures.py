"""Barlow Twins with a third look, mixed of two pictures, whose correlations should mix as the pictures do (Mixed Barlow Twins).

For few pictures without labels and long training. No two pictures are compared: over the batch, each dimension of one look should correlate
with the same dimension of the other look and with no other dimension. Nothing then binds what lies between pictures, and a long training
fits the pictures that there are. Here the first look at each picture is also mixed with the second look at another one, and what the
network makes of the mixture should correlate as the mixture of what it makes of both. A step costs three passes instead of two.

    nearfar train mixed_pictures --data photos/
    nearfar train mixed_pictures --data photos/ --set objective.mixed=2 --set projector.out=512

A batch should have about as many pictures as the projector has dimensions, or more; the loss is their sum. The stream's `mix` says how uneven
the shares are, one a batch: 1 is any share alike.

Source: Bandara et al. 2023 (arXiv 2312.02151), with the authors' code as a brief of it tells: lambda 0.0078125 and mu 4 for CIFAR-10 (mu 2
for STL-10), 1,024 dimensions, batches of 256, Beta(1, 1), Adam with decay 1e-6 after ten passes of warm-up, 2,000 passes; the views are
those of `image_views`, theirs from memory the same but for blur. Batch norm stands in their network and projector, here in neither: a
picture's vector is its own, and the loss standardises anyway. Partners go round in a drawn circle, so that nobody is mixed with
itself; theirs are any permutation. AdamW at 0.001 for a hundred passes is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts
from nearfar.recipes.image.image_views import VIEWS
from nearfar.recipes.views.momentum_contrast import CLAIM as BESIDE
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES

CARD = Card(
    name="mixed_pictures",
    summary="images without labels: Barlow Twins with a look mixed of two pictures (Mixed Barlow Twins)",
    related=("mixed_barlow", "barlow", "image_views"),
    data=("images",),
    papers=("2312.02151",),
    systems=("058",),
)

SMOKE = Smoke("images", {**OF_IMAGES.settings, "projector.hidden": 16, "projector.out": 6})

FEW = 100  # pictures that are trained on
EARLY = 0.25  # of the training, after which it is looked at once


def recipe() -> Recipe:
    """Two looks, and the first one mixed with the second one at another picture."""
    return Recipe(
        name="mixed_pictures",
        encoder=Use("convolutional"),
        objective=Use("mixed_barlow", {"off_diagonal": 0.0078125, "mixed": 4.0}),
        stages=(Fit(batch_size=256, epochs=100, learning_rate=1e-3, warmup=0.1, weight_decay=1e-6),),
        data="images",
        streams=(
            Feed("x", "image", views=VIEWS, head="projector"),
            Feed("y", "image", views=VIEWS, head="projector"),
            Feed("mixed", "image", views=VIEWS, look=0, mix=1.0, head="projector"),
        ),
        heads=(Named("projector", "projector", {"hidden": 1024, "out": 1024, "layers": 3}),),
    )


def without_mixing() -> Recipe:
    """Barlow Twins."""
    ours = recipe()
    objective = Use("barlow", {"off_diagonal": 0.0078125})
    return replace(ours, objective=objective, streams=ours.streams[:2], name="mixed_pictures_without_mixing")


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of nearest neighbours among all training records, after training on a few of them.

    `gained` is that less what a quarter of the training gives.
    """
    few = drawn_parts(dataset.train.columns["label"], {"few": FEW}, seed)["few"]
    small = Dataset(dataset.name, {"train": dataset.train.take(few)})
    (fit,) = recipe.fits
    early, late = (
        measured(
            Use("knn_accuracy"),
            trained(replace(recipe, stages=(replace(fit, epochs=share * fit.epochs),)), small, seed),
            dataset,
            split,
        ).figure("accuracy")
        for share in (EARLY, 1.0)
    )
    return {"accuracy": late, "gained": late - early, "early": early}


WINDOW = BESIDE.both["x.views"]
WINDOWS = {"y.views": WINDOW}

CLAIM = Claim(
    "trained for long on few pictures, Barlow Twins with mixed pictures gives better features than without, and loses less by the length "
    "of the training",
    expect="mixed > barlow, gained: mixed > barlow",
    arms={
        "mixed": Arm(settings={**WINDOWS, "mixed.views": WINDOW, "fit.epochs": 60}),
        "barlow": Arm(without_mixing, settings={**WINDOWS, "fit.epochs": 90}),
    },
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.005,
    both={
        **BESIDE.both,
        "projector.hidden": 64,
        "projector.out": 64,
        "fit.batch_size": 50,
        "fit.schedule": "constant",
        "fit.warmup": 10,
    },
    tune={"objective.off_diagonal": (0.0078125, 0.03), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: mixing mitigates that Barlow Twins over-fits in long pre-training, and improves it on CIFAR, TinyImageNet, STL-10 and "
    "ImageNet; the figures were not seen",
    scale="a network of 77,000 weights, a hundred digits of 8 x 8 pixels, windows of 0.4 to 1 of the picture for views, 60 passes "
    "with mixing and 90 without, which is as much work for the network; a constant rate; nearest neighbours",
    reading="nothing is gained or lost by mixing here, to within two points, neither at the end nor by training "
    "longer: small digits may be too easy to be remembered by heart, which mixing is to prevent",
)
