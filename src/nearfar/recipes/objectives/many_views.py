"""Five looks at each picture, contrasted all at once: a record's looks agree in one term, each look spreads by itself (MV-DHEL).

For pictures without labels where a further look is cheap. All pairs of looks at a picture stand under one logarithm, so that the looks
answer for one another; what keeps pictures apart is taken within each look, where no positive and no other look takes part. With many
looks the pull and the push are then told apart, which should leave more dimensions in use. `image_views` with five copies is the mean
over pairs instead. The paper's other loss, one softmax a picture over everything (MV-InfoNCE), is `with_one_softmax` below.

    nearfar train many_views --data photos/
    nearfar train many_views --data photos/ --set x.copies=8 --set objective.temperature=0.2

Looks cost time in proportion. The loss is a sum over looks of one logarithm each, and of a single one for all pairs: with more looks the
push weighs more, and the best temperature may move.

Source: Koromilas et al. 2025 (arXiv 2507.06979), with the authors' configuration as a brief of it tells: temperature 0.5, batches of
256, windows of 0.08 to 1 of the area, colours at half strength. Theirs are SGD at 1.0 and a head with batch norm; views, projector and
AdamW here are those of `image_views`. Five looks are the least with which they see dimensions kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.rank_me import rank_me
from nearfar.recipes.image.image_views import recipe as image_views
from nearfar.recipes.views.momentum_contrast import CLAIM as BESIDE
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES

CARD = Card(
    name="many_views",
    summary="images without labels: five looks contrasted at once, agreement and spread apart (MV-DHEL, MV-InfoNCE)",
    related=("mv_dhel", "mv_info_nce", "image_views", "decoupled_softmax"),
    data=("images",),
    papers=("2507.06979",),
    systems=("098",),
)

SMOKE = Smoke("images", {**OF_IMAGES.settings, "x.copies": 3})


def recipe() -> Recipe:
    """`image_views` with five copies and another objective."""
    plain = image_views()
    return replace(
        plain,
        name="many_views",
        objective=Use("mv_dhel", {"temperature": 0.5}),
        streams=(replace(plain.streams[0], copies=5),),
    )


def with_one_softmax() -> Recipe:
    """MV-InfoNCE: all pairs of a record's looks against everything, one term a record."""
    contrast = Contrast(
        rule="mv_info_nce", relation="multi_view", temperature=0.5, both_ways=False, row="record", y=None
    )
    return replace(recipe(), name="many_views_with_one_softmax", objective=contrast)


def pair_by_pair() -> Recipe:
    """The mean over pairs of looks of InfoNCE, a softmax of its own for each pair."""
    contrast = Contrast(rule="decoupled_softmax", relation="multi_view", temperature=0.5, both_ways=False, y=None)
    return replace(recipe(), name="many_views_pair_by_pair", objective=contrast)


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of nearest neighbours, and the effective rank of the part's vectors as a share of their dimensions."""
    model = trained(recipe, dataset, seed)
    vectors = encoded(model, dataset.part(split))
    return {
        "accuracy": measured(Use("knn_accuracy"), model, dataset, split).figure("accuracy"),
        "used_dimensions": rank_me(vectors).figure() / vectors.shape[1],
    }


CLAIM = Claim(
    "with five looks at each record, one logarithm for all of a record's pairs and uniformity within each look give better features "
    "than the mean over pairs, and use more dimensions",
    expect="dhel > pairwise, one_softmax > pairwise, used_dimensions: dhel > pairwise",
    arms={"dhel": Arm(), "one_softmax": Arm(with_one_softmax), "pairwise": Arm(pair_by_pair)},
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.005,
    both={**BESIDE.both, "fit.epochs": 4},
    tune={"objective.temperature": (0.2, 0.5), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: both losses outperform other multi-view ones and scale with the number of views; MV-DHEL with five or more "
    "mitigates dimensionality collapse; the figures were not seen",
    scale="a network of 77,000 weights, a thousand digits of 8 x 8 pixels, windows of 0.4 to 1 of the picture for views, five looks alone "
    "(neither fewer nor more), four passes; nearest neighbours; the mean over pairs has negatives of all looks, more than one pair has",
    reading="the paper's picture of the space is there - a seventh of the dimensions more in use - but not its use: "
    "nearest neighbours find classes less well than after the mean over pairs, which spreads less. Ten plain "
    "classes may not need the dimensions, and four passes are few",
)
