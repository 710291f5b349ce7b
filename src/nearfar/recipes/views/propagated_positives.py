"""Neighbours of neighbours as positives, the farthest of them first (InvP): what stays the same from one picture to others of its kind.

One look at a picture is compared with a bank that holds a vector for every picture of the data. Its own vector is near, the nearest
of all others are far (instance discrimination). From a fifth of the training on a second term takes further pictures for near: those
within three hops of four nearest neighbours, and of them the ones that are least alike yet, since near ones teach nothing new. Views
alone, as in `image_views`, can only say what stays the same from one look to another of the same picture.

    nearfar train propagated_positives --data photos/
    nearfar train propagated_positives --data photos/ --set propagation.weight=0        # instance discrimination alone

For data without kinds (every picture its own) neighbours are no positives: leave the weight at 0.

Source: Wang et al. 2020 (arXiv 2010.11694), by the authors' code: both terms, k = 4, three hops, the 50 least alike, the 4,096 nearest as
negatives, weight 0.6, a bank that keeps a half of itself, temperature 0.2 with blur, a projector and a cosine. Theirs are SGD at 0.03, 800
passes, the second term after 30 of them; 100 passes, after 20, with AdamW at 0.001 are ours. In their second term the positives stand below
only where they are among the nearest, so that it may fall below zero; here always. Their neighbours are those of the bank, here all
pictures are embedded anew each pass. Nothing is held out: a picture has no counterpart to find.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.predicate import Columns, Listed, Same
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit, Refresh
from nearfar.core.use import Use
from nearfar.edits.hardest_positive import hardest_positive
from nearfar.objectives.composed import Objective
from nearfar.objectives.info_nce_inside import info_nce_inside
from nearfar.objectives.scored import Scored
from nearfar.recipes.views.momentum_contrast import VIEWS

CARD = Card(
    name="propagated_positives",
    summary="images without labels: neighbours of neighbours as positives, the farthest first (InvP)",
    related=("record_bank", "propagated", "hardest_positive", "image_views"),
    data=("images",),
    papers=("2010.11694",),
    systems=("181",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "objective.edits": '[{"part": "hardest", "options": {"k": 8}}]',
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)

POSITIVES = 50  # of those within three hops


def others_compete(queries: Columns, keys: Columns) -> Block:
    """Listed neighbours are positives, and every other record is a negative, they too; the record itself is no pair."""
    itself = Same("record")(queries, keys)
    return Block(Listed("neighbours")(queries, keys) & ~itself, ~itself)


def propagation(main: Objective) -> Scored:
    """The second term: the recipe's own bank, temperature and negatives, with the positives that are least alike."""
    own = main.terms[""]
    assert isinstance(own, Scored)
    return replace(
        own,
        rule=info_nce_inside,
        relation=others_compete,
        edits=(hardest_positive(POSITIVES), *own.edits),
    )


def recipe() -> Recipe:
    """One look a record against the bank; two terms, and neighbours that are found anew each pass."""
    return Recipe(
        name="propagated_positives",
        encoder=Use("convolutional"),
        objective=Contrast(
            rule="info_nce",
            relation="paired",
            temperature=0.2,
            both_ways=False,
            keys=Use("record_bank"),
            edits=(Use("hardest", {"k": 4096}),),
            y=None,
        ),
        also=(Also("propagation", propagation, weight=Ramp(0.0, 0.6, 0.2, 0.2)),),
        stages=(
            Fit(
                batch_size=256,
                epochs=100,
                learning_rate=1e-3,
                weight_decay=1e-4,
                refresh=(Refresh("neighbours", Use("propagated"), write="neighbours"),),
            ),
        ),
        data="images",
        held_out=0.0,
        streams=(Feed("x", "image", views=VIEWS, head="projector"),),
        heads=(Named("projector", "projector"),),
    )


def one_hop() -> Recipe:
    """The four nearest neighbours as positives."""
    ours = recipe()
    nearest = (Refresh("neighbours", Use("propagated", {"hops": 1}), write="neighbours"),)
    return replace(ours, stages=(replace(ours.fits[0], refresh=nearest),), name="propagated_positives_of_one_hop")


def instances() -> Recipe:
    """Instance discrimination against the bank: no neighbours."""
    ours = recipe()
    return replace(
        ours, also=(), stages=(replace(ours.fits[0], refresh=()),), name="propagated_positives_without_neighbours"
    )


CLAIM = Claim(
    "the least alike of pictures within three hops as positives make better features than the picture's own look alone, and than one hop",
    expect="three_hops > instances, three_hops > one_hop",
    arms={"three_hops": Arm(), "one_hop": Arm(one_hop), "instances": Arm(instances)},
    data="digits",
    measure=Use("knn_accuracy"),
    margin=0.005,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "fit.batch_size": 64,
        "fit.epochs": 10,
        "objective.edits": '[{"part": "hardest", "options": {"k": 256}}]',
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]',
    },
    tune={"fit.learning_rate": (1e-3, 3e-3, 1e-2)},
    source="the abstract: 71.3 % on ImageNet with a linear classifier; that three hops and the least alike are better than one hop and than "
    "instances is their ablation, not seen",
    scale="a network of 77,000 weights, a thousand digits of 8 x 8 pixels, the 256 nearest of a thousand as negatives, windows for views, "
    "ten passes with one look each; nearest neighbours for a linear classifier",
    reading="no difference in either direction, to within a point; how many of the propagated positives are of "
    "another class was not looked at",
)
