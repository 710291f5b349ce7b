"""Patches of several pictures shuffled into montages: each finds the others of its picture, and tells where it was cut (JigClu).

Each picture is cut into four overlapping patches, each seen by views of its own; the patches of a bag of pictures are shuffled
and put together four by four, so that the network runs over as many pixels as the pictures have, once. Near are the patches of one
picture, far all others of the batch (supervised contrast, the picture as the class); besides, a linear classifier tells from each patch
which quarter it was. `image_views` runs over every picture twice, and sees no other pictures beside it. Where up and down or
left and right say little (stones, cells), leave the place out: `--set location.weight=0`.

A record is a bag of 16 pictures, never cut; the own one leads, 15 are drawn. So one pass over the data is 16 looks at a picture, and
`fit.batch_size` counts bags.

    nearfar train shuffled_patches --data photos/
    nearfar train shuffled_patches --data photos/ --set encoder.size=64 --set x.random_resized_crop.size=32

Source: Chen et al. 2021 (arXiv 2104.00323) with the authors' code: both losses with weight one, temperature 0.07,
128 dimensions, the overlap of 0.3, the views, weight decay 1e-4. They shuffle over a batch of 256 pictures, train 200 passes with SGD
at 0.03 and have batch norm; bags of 16, 16 of them a batch, six passes (96 looks) with AdamW at 0.001 and group norm are ours.
Nothing is held out: a bag has no counterpart to find.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use

CARD = Card(
    name="shuffled_patches",
    summary="patches of several pictures shuffled into montages find their own, and tell their place (JigClu)",
    related=("montage_network", "picture_bag", "agreeing", "column_cross_entropy", "image_views"),
    data=("images",),
    papers=("2104.00323",),
    systems=("147",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "x.picture_bag.size": 4,
        "x.random_resized_crop.size": 8,
        "fit.batch_size": 6,
        "fit.epochs": 1,
    },
)

CHANGES = (
    Use("colour_jitter", {"strength": 0.5}),
    Use("greyscale"),
    Use("gaussian_blur", {"sigma": (0.1, 0.3)}),
    Use("horizontal_flip"),
)


def recipe() -> Recipe:
    """One stream of bags, a row a patch; two terms."""
    views = (Use("picture_bag"), Use("random_resized_crop", {"size": 16, "area": (0.2, 1.0)}), *CHANGES)
    return Recipe(
        name="shuffled_patches",
        encoder=Use("montage_network"),
        objective=Contrast(
            rule="info_nce",
            relation=Use("agreeing", {"columns": ("record", "picture"), "itself": ("place",)}),
            temperature=0.07,
            both_ways=False,
            y=None,
        ),
        also=(Also("location", Use("column_cross_entropy", {"column": "place", "classes": 4})),),
        stages=(Fit(batch_size=16, epochs=6, learning_rate=1e-3, weight_decay=1e-4),),
        data="images",
        held_out=0.0,
        streams=(Feed("x", "image", views=views, head="projector"),),
        heads=(Named("projector", "projector"),),
    )


def without_location() -> Recipe:
    """The contrast of patches alone."""
    return replace(recipe(), also=(), name="shuffled_patches_without_location")


def whole_pictures() -> Recipe:
    """SimCLR with this recipe's network, head and optimiser: two looks at whole pictures."""
    ours = recipe()
    contrast = Contrast(rule="info_nce", relation="multi_view", temperature=0.07, both_ways=False, y=None)
    looks = replace(ours.streams[0], views=(Use("random_resized_crop", {"area": (0.2, 1.0)}), *CHANGES), copies=2)
    encoder = Use("convolutional")
    return replace(
        ours, encoder=encoder, objective=contrast, also=(), streams=(looks,), name="shuffled_patches_whole_pictures"
    )


LOOKS = 10  # at every picture, in the arms of patches: as many pixels as five passes with two looks each
PATCHES = {
    "x.views": '["picture_bag", {"part": "random_resized_crop", "options": {"size": 6}}]',
    "fit.batch_size": 4,
    "fit.epochs": LOOKS / 16,
}

CLAIM = Claim(
    "for the same number of pixels, patches in montages give better features than SimCLR, and telling their place adds to it",
    expect="patches > simclr, patches > without_location",
    arms={
        "patches": Arm(settings=PATCHES),
        "without_location": Arm(without_location, settings=PATCHES),
        "simclr": Arm(
            whole_pictures,
            settings={"x.views": '["random_resized_crop"]', "fit.batch_size": 64, "fit.epochs": LOOKS / 2},
        ),
    },
    data="digits",
    measure=Use("knn_accuracy"),
    margin=0.005,
    both={
        "encoder.size": 12,
        "encoder.channels": 1,
        "encoder.width": 16,
        "encoder.stages": 2,
        "objective.temperature": 0.1,
    },
    tune={"x.random_resized_crop.area": ([0.4, 1.0], [0.8, 1.0]), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: comparable to contrast of two views with half the training batches, 0.4 % above MoCo v2 on COCO, 2.6 % above "
    "earlier methods that see each batch once; that both losses together are best is the ablation, from memory",
    scale="a network of 25,000 weights, projector included, a thousand digits at 12 x 12 pixels, montages of four patches of 6, bags of 16 pictures, 64 pictures "
    "a step; windows are the only views, tuned in all arms alike; nearest neighbours for a linear classifier",
    reading="twelve points below SimCLR with as many pixels; telling the place adds three, as the paper says, not "
    "surely beyond the margin. A patch of a digit of 8 x 8 pixels is some strokes that many digits share, "
    "where a patch of a photograph shows a thing",
)
