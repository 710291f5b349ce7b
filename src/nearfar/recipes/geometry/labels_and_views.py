"""Pictures with coarse labels, whose finer kinds shall not be lost: contrast by label and contrast by look, added (simplicity bias).

For whoever has labels that are coarser than what the vectors will be used for. `labelled_views` alone puts all pictures of a class onto one place:
what is simplest to learn is enough, and the kinds within a class collapse. `image_views` alone keeps them apart, and knows no label; what it
learns may be some other easy feature. The sum of both losses keeps both. How far a class has collapsed measures `class_collapse`; whether an easy
feature keeps a hard one from being learned, `feature_suppression`, which a larger embedding (`projector.out`) and views that vary the
easy feature relieve. Read the vectors that the loss sees as well as those before the projector: these failures hide there.

    nearfar train labels_and_views --data photos/
    nearfar train labels_and_views --data photos/ --set views.weight=0.25 --set projector.out=512

photos/ has a folder a class.

Source: Xue, Joshi, Gan, Chen and Mirzasoleiman 2023 (arXiv 2305.16536), by the abstract and the authors' summary of it. Their loss is a
mixture, lam of the labelled and 1 - lam of the other contrast; which of them bears lam there was not seen. Here the labelled one has weight 1
and `views.weight` is (1 - lam) / lam; 1, lam of a half, is ours. Temperature 0.1 for both, views, sizes and rates are those of `labelled_views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.class_collapse import class_collapse
from nearfar.probes.linear_probe import linear_probe
from nearfar.recipes.labels.labelled_views import SMOKE as OF_LABELS
from nearfar.recipes.labels.labelled_views import recipe as labelled_views

CARD = Card(
    name="labels_and_views",
    summary="images with coarse labels: contrast by label and by look, so that finer kinds stay apart (simplicity bias)",
    related=("labelled_views", "image_views", "class_collapse", "feature_suppression"),
    data=("images", "labels"),
    papers=("2305.16536",),
    systems=("199",),
)

SMOKE = Smoke("images", OF_LABELS.settings)

BY_LOOK = Contrast(rule="info_nce", relation="multi_view", temperature=0.1, both_ways=False, y=None)


def recipe() -> Recipe:
    """`labelled_views`, and the other look at the same picture once more in a contrast of its own."""
    return replace(labelled_views(), name="labels_and_views", also=(Also("views", BY_LOOK, weight=1.0),))


def without_projector(made: Recipe) -> Recipe:
    """The loss sees the vectors that are measured: a projector would keep the collapse from them."""
    return replace(made, streams=tuple(replace(stream, head="") for stream in made.streams), heads=())


def joint() -> Recipe:
    """The recipe without its projector."""
    return without_projector(recipe())


def labels_alone() -> Recipe:
    """`labelled_views` without its projector."""
    return without_projector(labelled_views())


def views_alone() -> Recipe:
    """The same looks without labels."""
    return replace(labels_alone(), name="labels_and_views_views_alone", objective=BY_LOOK)


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Trained on odd and even alone; which digit it is within odd and even, by a linear classifier of held-out pictures."""
    part, train = dataset.part(split), dataset.train
    fine, known_fine = part.columns["label"], train.columns["label"]
    coarse, known_coarse = fine % 2, known_fine % 2
    told = train.with_columns(label=known_coarse)
    model = trained(recipe, Dataset(dataset.name, {**dataset.parts, "train": told}), seed)
    known, asked = encoded(model, train), encoded(model, part)
    found = class_collapse(known, known_coarse, known_fine, asked, coarse, fine).figures()
    superclass = linear_probe(asked, coarse, train=(known, known_coarse)).figure("accuracy")
    return {"accuracy": found["accuracy"], "superclass": superclass, "between_share": found["between_share"]}


CLAIM = Claim(
    "with contrast by look beside contrast by coarse label, finer kinds within a class are told apart better than with labels alone, and the "
    "classes themselves better than without labels",
    expect="joint > labels, superclass: joint > views",
    arms={"joint": Arm(joint), "labels": Arm(labels_alone), "views": Arm(views_alone)},
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "fit.batch_size": 64,
        "fit.epochs": 12,
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]',
    },
    tune={"fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: supervised contrast collapses subclasses, both together give better vectors (figures were not seen)",
    scale="a network of 77,000 weights without a projector, a thousand digits of 8 x 8 pixels in two classes, odd and even, of five digits each; "
    "the learning rate is chosen by the digits told apart on the dev part, in all arms",
    reading="holds with a wide margin in both directions: labels alone merge the kinds within a class (four points), "
    "views alone tell the classes themselves less well (three points)",
)
