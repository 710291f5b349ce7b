"""Some pictures have labels, others are of those classes or of classes nobody has named: one set of prototypes for all (ProtoGCD).

For sorting what came in after some was labelled: which of it belongs to known classes, and what new groups are there. Two looks at each picture
are near each other, and labelled pictures of a class too; when the vectors have taken shape, prototypes of all classes, known and new,
join: labels teach the known ones, and each look is to foretell what the other one, sharpened, says (`prototype_discovery`). To cluster
after the contrast instead, with labelled pictures held in their clusters, decides on classes without the network learning from it.
How many classes there are must be said.

    nearfar train known_and_new_classes --data photos/ --set clusters.term.prototypes=12
    nearfar train known_and_new_classes --data photos/ --set clusters.term.waiting=3000 --set clusters.term.growing=5000

A picture without a label has a negative one; known classes are numbered from 0. The prototypes belong to the objective; what is published are the
vectors, which can be clustered (`clustering`).

Source: Ma et al. 2025 (arXiv 2504.03755) with the authors' code: all terms and their weights, temperatures 1 and 0.07 of the contrasts, prototypes on
features before the projector, three layers and 256 dimensions of it, batches of 128, 200 passes. They adapt the last block of a pretrained network
(DINO) with SGD, and draw labelled and unlabelled pictures equally often; from random weights prototypes would settle on nothing, so here the
contrasts are alone for three tenths of the training, and AdamW at 0.001 is ours, as are views, which are those of `labelled_views`. Their way
to find the number of classes is not part of it. The tables were not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from nearfar.claims.trial import trained_run
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.optional import needed
from nearfar.core.predicate import Columns
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Also, Feed, Recipe
from nearfar.core.rows import Rows
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.heads.projector import projector
from nearfar.measures.shared import encoded
from nearfar.objectives.composed import Objective
from nearfar.objectives.info_nce import info_nce
from nearfar.objectives.scored import Scored
from nearfar.recipes.labels.labelled_views import VIEWS
from nearfar.relations.labelled import labelled
from nearfar.relations.multi_view import multi_view

CARD = Card(
    name="known_and_new_classes",
    summary="images of which some are labelled, of known and of new classes: prototypes of all together (ProtoGCD)",
    related=("prototype_discovery", "labelled_views", "swapped_assignments", "clustering"),
    data=("images", "labels"),
    papers=("2504.03755",),
    systems=("095",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "encoder.dimension": 16,
        "clusters.term.prototypes": 5,
        "clusters.weight": 1.0,
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)

SUPERVISED = 0.35  # the weight of what has labels


def both_labelled(queries: Columns, keys: Columns) -> torch.Tensor:
    """Pairs of pictures that have a label."""
    return (queries["label"] >= 0)[:, None] & (keys["label"] >= 0)[None]


def contrasts(dimension: int) -> Objective:
    """Looks at one picture, and labelled pictures of one class among the labelled, through one projector."""
    network = projector(dimension, out=256, layers=3)

    def projected(table: Rows) -> Rows:
        return table.with_vectors(network(table.vectors))

    views = Scored(info_nce, multi_view(), temperature=1.0, head=projected, keys_from=None)
    classes = Scored(info_nce, labelled().only(both_labelled), temperature=0.07, head=projected, keys_from=None)
    return Objective({"views": views, "classes": classes}, {"views": 1 - SUPERVISED, "classes": SUPERVISED})


def recipe() -> Recipe:
    """The contrasts, and from three tenths of the training on prototypes."""
    discovery = Use("prototype_discovery", {"prototypes": 10, "supervised": SUPERVISED})
    return Recipe(
        name="known_and_new_classes",
        encoder=Use("convolutional", {"dimension": 128}),
        objective=contrasts,
        also=(Also("clusters", discovery, Ramp(0.0, 1.0, 0.3, 0.3)),),
        stages=(Fit(batch_size=128, epochs=200, learning_rate=1e-3, weight_decay=1e-4),),
        data="images",
        streams=(Feed("x", "image", views=VIEWS, copies=2),),
        columns=("label",),
    )


def contrasts_alone() -> Recipe:
    """For clusters afterwards."""
    return replace(recipe(), name="contrasts_alone", also=())


KNOWN, CLASSES = 5, 10  # of the claim's data: classes 0 to 4 are known, half of their pictures labelled


def centres_of(vectors: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """Semi-supervised spherical k-means: centres [CLASSES d], the best of ten starts; labelled vectors stay with their class."""
    labelled_ones, chance = label >= 0, np.random.default_rng(seed)
    best, found = -np.inf, np.empty(0)

    def placed(table: np.ndarray) -> np.ndarray:
        return np.where(labelled_ones, label, (vectors @ table.T).argmax(1))

    for _ in range(10):
        centres = [vectors[label == k].mean(0) for k in range(KNOWN)]
        for _ in range(KNOWN, CLASSES):
            far = (1 - (vectors @ _unit(np.stack(centres)).T).max(1)).clip(0) * ~labelled_ones
            centres.append(vectors[chance.choice(len(vectors), p=far / far.sum())])
        table = _unit(np.stack(centres))
        for _ in range(50):
            place = placed(table)
            table = _unit(
                np.stack([vectors[place == k].sum(0) if (place == k).any() else table[k] for k in range(CLASSES)])
            )
        score = (vectors * table[placed(table)]).sum()
        if score > best:
            best, found = score, table
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy when clusters are matched with classes as well as can be, on the part: of all pictures, those of known and of new classes."""
    whole = dataset.train.columns["label"]
    seen = (whole < KNOWN) & (np.arange(len(whole)) % 2 == 0)
    label = np.where(seen, whole, -1)
    train = dataset.train.with_columns(label=label)
    made = trained_run(recipe, Dataset(dataset.name, {**dataset.parts, "train": train}, dataset.facts), seed)
    if recipe.also:
        terms = made.prepared.learner.objective.terms
        centres = terms["clusters/labels"].function.__self__.vectors.detach().numpy()
    else:
        centres = centres_of(encoded(made.model, train), label, seed)
    asked = dataset.part(split).columns["label"]
    cluster = (encoded(made.model, dataset.part(split)) @ _unit(centres).T).argmax(1)
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (asked, cluster), 1)
    right = np.zeros(CLASSES)
    rows, columns = needed("scipy.optimize", "probes").linear_sum_assignment(-counts)
    right[rows] = counts[rows, columns]
    each = (slice(None), slice(KNOWN), slice(KNOWN, None))
    return {n: float(right[s].sum() / counts[s].sum()) for n, s in zip(("all", "known", "new"), each, strict=True)}


# Of 180 steps prototypes join after 54; half of the rest passes until all rows are taken at their word, as in the paper.
GROWTH = {"clusters.term.waiting": 54, "clusters.term.growing": 63}

CLAIM = Claim(
    "prototypes of known and new classes that are learned together find the classes better than clusters of the same contrasts "
    "afterwards, the new classes too, and need balance and separation",
    expect="together > clusters_afterwards, new: together > clusters_afterwards, together > unregularised",
    arms={
        "together": Arm(settings=GROWTH),
        "unregularised": Arm(settings={**GROWTH, "clusters.term.balance": 0.0, "clusters.term.separation": 0.0}),
        "clusters_afterwards": Arm(contrasts_alone),
    },
    data="digits",
    trial=trial,
    metric="all",
    margin=0.01,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "encoder.dimension": 64,
        "fit.batch_size": 64,
        "fit.epochs": 12,
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]',
    },
    tune={"fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: state of the art on coarse and fine classes, and more even between known and new ones (the tables were not seen)",
    scale="a thousand digits of 8 x 8 pixels, half of those from 0 to 4 labelled, a network of 77,000 weights from random ones in place of a "
    "pretrained one, 12 passes, windows of 0.4 to 1 as views; the number of classes is given; classes are told on pictures that were not trained on",
    reading="k-means of the vectors of the same contrasts, afterwards, is better than prototypes learned together by "
    "fourteen points, on new classes by thirty-four. Balance and separation do help, as the paper says. A few "
    "hundred steps may be too few for prototypes of classes without a label to find their place",
)
