"""Momentum contrast on transformed vectors: query and key pushed apart along their line, the queue's keys mixed two by two (FT).

Near are two looks at a picture, but the loss sees them farther apart than they are: their vectors are extrapolated away from each
other, so that what they share must be learned better still. Far are the keys of the queue, each mixed with another one, anew
every step, so that they are never the same twice. Nothing is embedded beyond what `momentum_contrast` embeds. For pictures without labels
whose views are strong: where two looks have nearly one vector already, pushing them apart along their line does next to nothing.
`hard_negative_mixing` adds mixtures of each query's hardest keys; here every key is replaced.

    nearfar train extrapolated_pairs --data photos/
    nearfar train extrapolated_pairs --data photos/ --set objective.queue.size=65536 --set objective.similarity.alpha=2

Source: Zhu et al. 2021 (arXiv 2108.02982), with the authors' code as a brief of it tells: alpha 2 for pairs and 1.6 for the queue, one share a
step for each, mixtures not brought to unit length, the extrapolated query against the negatives too, and the queue stores what was
not transformed. All else is that of `momentum_contrast`, as theirs is (65,536 keys, a teacher that keeps 0.999). Their code draws a
share for every number of a vector where only one of the two is switched on, so their ablation differs in more than it says.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.views.momentum_contrast import CLAIM as OF_MOMENTUM
from nearfar.recipes.views.momentum_contrast import OWN, WINDOW
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES
from nearfar.recipes.views.momentum_contrast import recipe as momentum_contrast

CARD = Card(
    name="extrapolated_pairs",
    summary="momentum contrast with pairs pushed apart and the queue's keys mixed two by two (FT)",
    related=("momentum_contrast", "extrapolated", "interpolated", "hard_negative_mixing"),
    data=("images",),
    papers=("2108.02982",),
    systems=("043",),
)

SMOKE = Smoke("images", OF_IMAGES.settings)


def recipe() -> Recipe:
    """`momentum_contrast` with vectors of unit length, two stages of keys and another similarity."""
    plain = momentum_contrast()
    assert isinstance(plain.objective, Contrast)
    keys = (Use("queue", {"size": 4096}), Use("interpolated"))
    transformed = replace(plain.objective, similarity=Use("extrapolated"), keys=keys)
    head = Named("projector", "projector", {"unit": True})
    return replace(plain, name="extrapolated_pairs", objective=transformed, heads=(head,))


CLAIM = Claim(
    "pairs pushed apart and keys mixed two by two make momentum contrast better",
    expect="transformed > plain",
    arms={
        "transformed": Arm(settings={"objective.queue.size": 512}),
        "plain": Arm("momentum_contrast", settings=OWN),
    },
    data="digits",
    measure=Use("knn_accuracy"),
    margin=0.005,
    both={**OF_MOMENTUM.both, "y.views": WINDOW},
    tune=OF_MOMENTUM.tune,
    source="the abstract: at least 6 points more than MoCo on a hundred classes of ImageNet, about 2 more than MoCo v2 on all of it (the "
    "tables were not seen)",
    scale="as `momentum_contrast`: a thousand digits of 8 x 8 pixels, windows of 0.4 to 1 of the picture, a queue of 512, twelve passes; "
    "nearest neighbours for a linear classifier; both transformations together, which is what the paper proposes",
    reading="a clear loss of three points. Perhaps the looks of a pair lie far apart anyway while teacher and network "
    "are young, so that pushing them apart asks for too much; the paper's gains are over hundreds of passes",
)
