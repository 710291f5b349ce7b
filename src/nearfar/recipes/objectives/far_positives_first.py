"""Five looks at each picture: those that lie farthest apart are pulled most, the nearest other pictures are pushed most (CACR).

For pictures without labels of which some kinds are frequent and others rare. Attraction and repulsion are two softmaxes that never meet:
one over a look's positives, in which the far ones weigh more, and one over its negatives, in which the near ones do. There is no
logarithm and no denominator that a frequent kind could fill, and the loss is bounded. It takes more than two looks: of one positive all
weight is its own, and attraction is plain alignment. `many_views` also has five looks, and softmaxes in which positives are all alike.

    nearfar train far_positives_first --data photos/
    nearfar train far_positives_first --data photos/ --set objective.rule.t_minus=0.9 --set x.copies=3

The distance is the squared one of unit vectors, 2 - 2 cos. Both softmaxes are blind to the constant, and so is the loss: the cosine at
temperature 0.5 is the same. A lower temperature sharpens both softmaxes.

Source: Zheng et al. 2021 (arXiv 2105.03746), with the authors' small-scale code as a brief of it tells: four positives, t_plus 1, t_minus 2
(for CIFAR-100 and STL-10; 0.9 for CIFAR-10), batches of 128, 200 passes, windows of 0.2 to 1 of the area, colours at 0.4, one picture in five
grey, weights that keep their gradient. Their negatives of a look are those of one other look at a time; here, as in `attraction_repulsion`,
all looks at other pictures in one softmax. Theirs is SGD at 0.12 for a batch of 256; AdamW at 0.001 is that of `image_views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts
from nearfar.data.long_tail import long_tail
from nearfar.recipes.views.momentum_contrast import CLAIM as BESIDE
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES

CARD = Card(
    name="far_positives_first",
    summary="images without labels: of five looks the far ones attract most, near other pictures repel most (CACR)",
    related=("attraction_repulsion", "many_views", "image_views"),
    data=("images",),
    papers=("2105.03746",),
    systems=("011",),
)

SMOKE = Smoke("images", {**OF_IMAGES.settings, "x.copies": 3, "objective.temperature": 0.05})

RATIO = 50.0  # of the largest class to the smallest

VIEWS = (
    Use("random_resized_crop", {"area": (0.2, 1.0)}),
    Use("horizontal_flip"),
    Use("colour_jitter", {"strength": 0.5}),
    Use("greyscale"),
)


def recipe() -> Recipe:
    """One stream with five copies of every image; the temperature makes squared distances of cosines."""
    return Recipe(
        name="far_positives_first",
        encoder=Use("convolutional"),
        objective=Contrast(
            rule=Use("attraction_repulsion", {"t_plus": 1.0, "t_minus": 2.0}),
            relation="multi_view",
            temperature=0.5,
            both_ways=False,
            y=None,
        ),
        stages=(Fit(batch_size=128, epochs=100, learning_rate=1e-3, warmup=0.1, weight_decay=1e-4),),
        data="images",
        streams=(Feed("x", "image", views=VIEWS, copies=5, head="projector"),),
        heads=(Named("projector", "projector"),),
    )


def all_positives_alike() -> Recipe:
    """InfoNCE with the same five looks: the mean over pairs, each in a softmax with all negatives."""
    contrast = Contrast(rule="decoupled_softmax", relation="multi_view", temperature=0.5, both_ways=False, y=None)
    return replace(recipe(), name="far_positives_first_all_alike", objective=contrast)


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of a linear classifier, itself fitted with all labels, after training on a long tail of the records.

    `kept` is that accuracy less the one after training on as many records with classes in proportion.
    """
    label = dataset.train.columns["label"]
    tail = long_tail(label, RATIO, seed)
    even = drawn_parts(label, {"even": len(tail)}, seed)["even"]
    found = []
    for places in (tail, even):
        model = trained(recipe, Dataset(dataset.name, {"train": dataset.train.take(places)}), seed)
        found.append(measured(Use("linear_accuracy"), model, dataset, split).figure("accuracy"))
    return {"accuracy": found[0], "kept": found[0] - found[1], "accuracy_of_even_classes": found[1]}


CLAIM = Claim(
    "trained on classes of very unequal size, attraction of far positives and repulsion of near negatives give better features than "
    "InfoNCE with as many looks, and lose less to the inequality",
    expect="two_softmaxes > info_nce, kept: two_softmaxes > info_nce",
    arms={"two_softmaxes": Arm(), "info_nce": Arm(all_positives_alike)},
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.005,
    both={**BESIDE.both, "fit.epochs": 6},
    tune={"objective.temperature": (0.1, 0.2, 0.5), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: better than common contrastive losses, and more robust on imbalanced data; the tables were not seen",
    scale="a network of 77,000 weights, some 280 digits of 8 x 8 pixels, from a hundred to two a class, in an order drawn with the seed; "
    "windows of 0.4 to 1 of the picture for views, five looks in both arms, six passes. A lower temperature sharpens both "
    "softmaxes of the one arm, as it does the one of the other",
    reading="the direction is the paper's in both, by less than ten seeds can tell: intervals hold zero. Of some 280 "
    "digits the rarest classes have two, and each seed draws its own order of classes, which moves both arms "
    "alike but not equally",
)
