"""Momentum contrast with an imagined further look at each picture, made of its vectors by a small network that learns along (Hallucinator).

Near are two looks at a picture, and a third one that nobody took: the query is pushed away from its key, by little and another
amount each step, and what comes out goes through three layers, which are thrown away afterwards. It must find the same key among the
queue's. No further picture is embedded. The query and its imagined look are never compared with each other. For pictures without labels,
few of them or with views that vary little. `extrapolated_pairs` pushes both vectors apart in place of the given ones, without a network.

    nearfar train imagined_looks --data photos/
    nearfar train imagined_looks --data photos/ --set imagined.weight=0.5 --set imagined.term.similarity.spread=0.2

The two terms remember the same keys, each in a queue of its own: set both sizes, `objective.keys.size` and `imagined.term.keys.size`.

Source: Wu et al. 2023 (arXiv 2307.12168) with the authors' code for MoCo: the network, a push of 0 to 0.1 drawn once a step, temperature 0.2, the
query as long as it comes and the key of length one. Theirs is the mean over queries and imagined ones, half of the sum here. Their
configurations change the first view's window too, which ours does not, and their queue stores every key twice, which ours does not
either. All else is that of `momentum_contrast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.tree import leaves, override
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.probes.outcome import Outcome
from nearfar.recipes.views.momentum_contrast import CLAIM as OF_MOMENTUM
from nearfar.recipes.views.momentum_contrast import OWN
from nearfar.recipes.views.momentum_contrast import SMOKE as OF_IMAGES
from nearfar.recipes.views.momentum_contrast import recipe as momentum_contrast

CARD = Card(
    name="imagined_looks",
    summary="momentum contrast with a further look, extrapolated and smoothed by a network (Hallucinator)",
    related=("momentum_contrast", "smoothed_extrapolation", "extrapolated_pairs"),
    data=("images",),
    papers=("2307.12168",),
    systems=("007",),
)

SMOKE = Smoke("images", {**OF_IMAGES.settings, "imagined.term.similarity.spread": 0.8})


def recipe() -> Recipe:
    """`momentum_contrast` and the same once more, with imagined queries."""
    plain = momentum_contrast()
    assert isinstance(plain.objective, Contrast)
    imagined = replace(plain.objective, similarity=Use("smoothed_extrapolation", {"spread": 0.1}))
    return replace(plain, name="imagined_looks", also=(Also("imagined", imagined),))


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> Outcome:
    """The usual trial; the option `temperature` is that of all terms."""
    for setting in ("objective.temperature", "imagined.term.temperature"):
        if setting in leaves(recipe):
            recipe = override(recipe, f"{setting}={given['temperature']}")
    return measured(Use("knn_accuracy"), trained(recipe, dataset, seed), dataset, split)


CLAIM = Claim(
    "imagined looks make momentum contrast better",
    expect="imagined > plain",
    arms={"imagined": Arm(settings={"imagined.term.keys.size": 512}), "plain": Arm("momentum_contrast")},
    data="digits",
    trial=trial,
    margin=0.003,
    both={**OF_MOMENTUM.both, **OWN},
    tune={"temperature": (0.1, 0.2), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: 0.3 to 3 points of linear accuracy on CIFAR, Tiny ImageNet, STL-10 and ImageNet, for MoCo, SimCLR and SimSiam",
    scale="as `momentum_contrast`: a thousand digits of 8 x 8 pixels, windows of 0.4 to 1 of the picture in both arms, a queue of 512, twelve "
    "passes; nearest neighbours for a linear classifier; MoCo alone. A margin of the least gain that the paper names",
    reading="neither gain nor loss that could be seen: the interval holds zero and reaches beyond the margin on both "
    "sides. The network that imagines has some 370 steps to learn in",
)
