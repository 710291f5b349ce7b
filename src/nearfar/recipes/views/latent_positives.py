"""Momentum contrast for series, with further positives made among the vectors: from each key towards other prototypes, as far as it stays (HaLP).

Near are two looks at a series and, of the query, points that nobody looked at: they start at its key and go along the sphere towards a
prototype of past keys that is not its own, at most to where that one would be as near. Far are the queue's keys, for the looks alone: the
made points only attract. For records whose views are hard to make without changing what they are - movements, signals - so that two looks
stay alike and a query learns little from its key. `momentum_contrast` has the looks alone; `imagined_looks` makes queries, by a network.

    nearfar train latent_positives --data movements.jsonl --columns series
    nearfar train latent_positives --data movements.jsonl --columns series --set latent.weight=1 --set latent.term.own.spread=0.5

A series is a list of numbers, or of lists with one number a channel. `latent.term.own.start` is the number of steps before anything is
made: prototypes must mean something first.

Source: Shah et al. 2023 (arXiv 2304.00387) with the authors' code as a brief of it tells: the points, 20 prototypes of the newest 256 keys found anew
every 10 steps, 100 points a key towards any other, spread 0.8, weight 2 (1 on one set), temperature 0.07, batches of 64. They begin after 200
passes of plain momentum contrast and two lengths of a queue of 16,384, with recurrent networks of movements of the body; 128 steps (two
lengths of a queue of 4,096), convolutions, noise and scaling as views, AdamW at 0.001 and a teacher that keeps 0.99 are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.tree import leaves, override
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="latent_positives",
    summary="momentum contrast for series with positives made on the way to other prototypes (HaLP)",
    related=("momentum_contrast", "hallucinated_positives", "pull", "imagined_looks"),
    data=("series",),
    papers=("2304.00387",),
    systems=("066",),
)

SMOKE = Smoke(
    "series",
    {
        "encoder.hidden": 8,
        "encoder.layers": 2,
        "latent.term.own.centres": 4,
        "latent.term.own.count": 10,
        "latent.term.own.start": 0,
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)

VIEWS = (Use("jitter"), Use("scaling"))


def recipe() -> Recipe:
    """Queries against keys and the queue; and queries towards points made of keys."""
    made = Use("hallucinated_positives", {"count": 100, "centres": 20, "nearest": 20, "spread": 0.8, "start": 128})
    towards = Contrast(rule="pull", relation=None, temperature=0.07, both_ways=False, own=made)
    return Recipe(
        name="latent_positives",
        encoder=Use("convolution_1d"),
        objective=Contrast(
            rule="info_nce", relation="queued", temperature=0.07, both_ways=False, keys=Use("queue", {"size": 4096})
        ),
        also=(Also("latent", towards, weight=2.0),),
        stages=(Fit(batch_size=64, epochs=100, learning_rate=1e-3, weight_decay=1e-4, teacher=0.99),),
        data="records",
        streams=(
            Feed("x", "series", views=VIEWS, head="projector"),
            Feed("y", "series", views=VIEWS, head="projector", through="momentum"),
        ),
        heads=(Named("projector", "projector"),),
    )


def without_points() -> Recipe:
    """Momentum contrast alone."""
    return replace(recipe(), name="latent_positives_without_points", also=())


def towards_keys() -> Recipe:
    """The query pulled as much to its key itself: alignment that weighs more."""
    towards = Contrast(rule="pull", relation="paired", temperature=0.07, both_ways=False)
    return replace(recipe(), name="latent_positives_towards_keys", also=(Also("latent", towards, weight=2.0),))


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> Outcome:
    """The usual trial; the option `weight` is that of the further term, where there is one."""
    if "latent.weight" in leaves(recipe):
        recipe = override(recipe, f"latent.weight={given['weight']}")
    return measured(Use("knn_accuracy"), trained(recipe, dataset, seed), dataset, split)


CLAIM = Claim(
    "where views are weak, made positives make momentum contrast better, and better than does the same pull to the key itself",
    expect="latent > plain, latent > aligned",
    arms={
        "latent": Arm(settings={"latent.term.own.start": 48}),
        "plain": Arm(without_points),
        "aligned": Arm(towards_keys),
    },
    data="swedish_leaf",
    trial=trial,
    margin=0.01,
    both={
        "encoder.strides": [4, 2],
        "encoder.hidden": 32,
        "encoder.layers": 2,
        "encoder.dimension": 64,
        "objective.keys.size": 256,
        "fit.batch_size": 32,
        "fit.epochs": 15,
    },
    tune={"weight": (1.0, 2.0), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: consistent improvements over contrastive baselines on three sets of body movements by linear classifier, transfer and "
    "nearest neighbours (the tables were not seen)",
    scale="four hundred outlines of leaves as series of 128 steps, fifteen trees; noise and scaling as views; a queue of 256, fifteen passes, "
    "points from step 48 of 180 on; nearest neighbours. `aligned` asks whether more alignment alone would do it",
    reading="no gain over the key alone, nor over pulling harder to it; against plain momentum contrast rather a "
    "loss. Points towards other prototypes are only as good as the prototypes of 256 keys of a young network, "
    "and leaves whose outlines differ little lie close together",
)
