"""Dense contrast by a simple match: a place finds the place of the other look that is most like it, and what it does to the space of places.

Two looks at each picture give maps of vectors. Every place has as its positive the most similar place of the other look, as negatives
all places of other pictures; beside it stands the same contrast of whole pictures (half the loss each). For pictures with several things
in them, and for use on places: segmentation, counting, finding. After the training the stage `effects` measures alignment and
uniformity of places, within pictures and between them, on held-out pictures. `image_views` is the term of whole pictures alone.

    nearfar train matched_places --data photos/ --set encoder.size=64
    nearfar train matched_places --data photos/ --set instances.weight=0       # places alone

A trained model gives out both: `model.encode(images, side="image")` and `model.encode_nodes(images, side="places")`.

Source: Moon et al. 2022 (arXiv 2210.08819), a study of dense contrast with a standard network and a simple match; its abstract was seen, no
formula. So the loss is that of DenseCL (Wang et al. 2020, arXiv 2011.09157) by its published configuration, as a brief of it tells: halves
of the two terms, temperature 0.2, the most similar place. There places are matched by the vectors before the head, negatives are
pooled vectors of a queue of 65,536 and keys a teacher's; here vectors behind the head, all places of the batch, one network. Views and
optimiser are those of `image_views`; batches of 64 are ours, for places times pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nearfar.claims.trial import measured, trained, untrained
from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.images import images
from nearfar.core.predicate import Columns, Same
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit, Measure
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.dense_effects import maps
from nearfar.probes.linear_probe import linear_probe
from nearfar.recipes.image.image_views import VIEWS

CARD = Card(
    name="matched_places",
    summary="places find their like in the other look; alignment and uniformity of places measured",
    related=("place_network", "dense_effects", "easy_positive", "image_views", "moderate_temperature"),
    data=("images",),
    papers=("2210.08819", "2011.09157"),
    systems=("215",),
)

SMOKE = Smoke(
    "images", {"encoder.size": 8, "encoder.width": 8, "encoder.stages": 2, "fit.batch_size": 8, "fit.epochs": 1}
)


def recipe() -> Recipe:
    """One tower, twice: whole pictures, and places of the same looks, each with a projector of its own."""
    whole = Contrast(rule="info_nce", relation="multi_view", temperature=0.2, both_ways=False, y=None)
    return Recipe(
        name="matched_places",
        encoder=Use("place_network"),
        objective=replace(whole, x="places", edits=(Use("easy_positive"),)),
        also=(Also("instances", whole),),
        stages=(
            Fit(batch_size=64, epochs=100, learning_rate=1e-3, warmup=0.1, weight_decay=0.01),
            Measure("effects", "dense_effects"),
        ),
        data="images",
        streams=(
            Feed("x", "image", views=VIEWS, copies=2, head="projector"),
            Feed("places", "image", side="places", views=VIEWS, copies=2, look=0, head="dense_projector"),
        ),
        heads=(Named("projector", "projector"), Named("dense_projector", "projector")),
    )


def same_place(queries: Columns, keys: Columns) -> Block:
    """The place with the same number in the other look is the positive, whatever the windows show there."""
    record = Same("record")(queries, keys)
    return Block(record & ~Same("view")(queries, keys) & Same("cell")(queries, keys), ~record)


def unmatched() -> Recipe:
    """Places matched by their number on the map."""
    ours = recipe()
    assert isinstance(ours.objective, Contrast)
    dense = replace(ours.objective, relation=same_place, edits=())
    return replace(ours, objective=dense, name="matched_places_unmatched")


def whole_pictures() -> Recipe:
    """The contrast of whole pictures alone."""
    ours = recipe()
    return replace(
        ours,
        objective=ours.also[0].term,
        also=(),
        streams=ours.streams[:1],
        heads=ours.heads[:1],
        name="matched_places_of_whole_pictures",
    )


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Whether planes tell which one a digit is, from the mean of its places; and the figures of the space of places."""
    model = (untrained if given.get("untrained") else trained)(replace(recipe, stages=recipe.fits), dataset, seed)
    known, asked = (_digits(model, part) for part in (dataset.train, dataset.part(split)))
    accuracy = linear_probe(*asked, train=known).figure("accuracy")
    return {"accuracy": accuracy} | measured(Use("dense_effects"), model, dataset, split).figures()


def _digits(model: Any, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of every digit on the canvases the mean vector of its places, each by the share of it that the digit covers, and which it is."""
    tower, numbers = model.tower(next(iter(model.sides))), range(len(part))
    vectors = maps(tower, images(part.many("image", numbers), tower.setup.size, channels=tower.setup.channels))
    digit, which = (np.stack(part.many(field, numbers)) for field in ("digit", "which"))
    n, height, width, _ = vectors.shape
    cells = (n, height, digit.shape[1] // height, width, digit.shape[2] // width)
    made, label = [], []
    for number in range(which.max() + 1):
        mine = which == number
        there = mine.any((1, 2))
        share = mine.reshape(cells).mean((2, 4))[there]
        made.append(np.einsum("nhw,nhwd->nd", share, vectors[there]))
        label.append(np.where(mine, digit, -1).max((1, 2))[there])
    return np.concatenate(made), np.concatenate(label)


VIEW = '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]'

CLAIM = Claim(
    "places matched by likeness make better vectors of single things than contrast of whole pictures, and than places matched by their number",
    expect="matched > whole_pictures, matched > unmatched",
    arms={
        "matched": Arm(settings={"places.views": VIEW}),
        "unmatched": Arm(unmatched, settings={"places.views": VIEW}),
        "whole_pictures": Arm(whole_pictures),
        "untrained": Arm(options={"untrained": True}),
    },
    data="digit_canvases",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both={
        "encoder.size": 24,
        "encoder.channels": 1,
        "encoder.width": 8,
        "encoder.stages": 3,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "objective.temperature": 0.2,
        "x.views": VIEW,
    },
    tune={"fit.learning_rate": (3e-4, 1e-3)},
    source="the abstract: dense contrast is better for dense prediction, and what makes a right positive pair of places is found and "
    "shown; the paper's scalar that relates alignment and uniformity to performance was not seen and is not tried",
    scale="600 canvases of 24 x 24 pixels with two to four digits, maps of 6 x 6 places, two passes, windows of 0.4 to 1 for views; a "
    "linear classifier of the mean vector of the places under a digit; `untrained` describes and decides nothing; alignment and "
    "uniformity of places are reported beside it",
    reading="matching by likeness is surely better than by number, and no better than contrast of whole pictures; no "
    "arm beats the weights it began with, so that none of them has learned much about places in two passes",
)
