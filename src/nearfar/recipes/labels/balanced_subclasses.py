"""Classes of unequal size: large ones are cut into subclasses as small as the rare ones, which attract first, the class after them (SBCL).

With supervised contrast a record of a large class has many positives and one of a rare class few, so that large classes take the space.
Here every so often the records of each class are clustered, into clusters of about the size of the smallest class; a record is near
to mates of its cluster, and less so to the rest of its class, with a temperature that grows with how spread out its class is. Sampling rare
classes more often shows their few records again and again; here every record is seen equally often. Before the first clusters stands
supervised contrast alone (`warm_up`, as `labelled_views`), since clusters of untrained vectors mean nothing.

    nearfar train balanced_subclasses --data photos/
    nearfar train balanced_subclasses --data photos/ --set fit.subclasses.by.size=20 --set fit.objective.weight=0.14

A batch should hold mates of a subclass: with N records and subclasses of 10, batches of 1,024 hold about 10 x 1,024 / N of each.

Source: Hou et al. 2023 (arXiv 2306.15925), with the authors' code: both terms and their weight (see `subclass_contrast`), temperature 0.1, clusters of
10 anew every 10 passes after 10 of warm-up, batches of 1,024, views (a window of 0.2 to 1, colours at 0.4 and hue at 0.1, grey for one in
five, mirrored), 128 dimensions. They train 1,000 passes with SGD at 0.5, which rises from 0.01 during the warm-up; AdamW at 0.001 and
100 passes are ours, as is that clusters are of equal size: their training script calls ordinary k-means. They cluster vectors of an
augmented view, here of the picture as it is. The tables were not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.optional import needed
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Refresh
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.data.long_tail import long_tail
from nearfar.measures.shared import encoded
from nearfar.recipes.labels.labelled_views import recipe as labelled_views
from nearfar.relations.labelled import labelled

CARD = Card(
    name="balanced_subclasses",
    summary="labelled images, classes of unequal size: large ones cut into subclasses as small as rare ones (SBCL)",
    related=("subclass_contrast", "class_clusters", "class_temperatures", "labelled_views", "labelled"),
    data=("images", "labels"),
    papers=("2306.15925",),
    systems=("035",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "warm_up.epochs": 0.4,
        "warm_up.batch_size": 16,
        "fit.epochs": 1,
        "fit.batch_size": 16,
    },
)

LARGEST, RATIO = 250, 50  # records of the largest class in the claim, and how many times the smallest it is
FEW = 30  # records: classes of fewer are rare there


def recipe() -> Recipe:
    """`labelled_views`, then subclasses."""
    subclasses = (
        Refresh("subclasses", Use("class_clusters"), "subclass", every=10.0),
        Refresh("temperatures", Use("class_temperatures"), "temperature", every=10.0),
    )
    plain = labelled_views()
    fit = replace(plain.fits[0], batch_size=1024, epochs=90)
    return replace(
        plain,
        name="balanced_subclasses",
        stages=(
            replace(fit, name="warm_up", epochs=10, schedule="constant"),
            replace(fit, objective=Use("subclass_contrast"), refresh=subclasses, warmup=0.0),
        ),
        columns=("label",),
    )


def supervised() -> Recipe:
    """Supervised contrast in both stages."""
    ours = recipe()
    warm_up, fit = ours.fits
    return replace(ours, name="supervised", stages=(warm_up, replace(fit, objective=None, refresh=())))


def class_averaged() -> Recipe:
    """Supervised contrast in both stages, in which all classes weigh alike in the denominator, however large."""
    ours = supervised()
    assert isinstance(ours.objective, Contrast)
    averaged = replace(ours.objective, relation=labelled().balanced("class_count"))
    return replace(ours, name="class_averaged", objective=averaged, columns=("label", "class_count"))


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of a linear classifier, in which all classes weigh alike, on the part; and that of the rare classes alone."""
    label = dataset.train.columns["label"]
    kept = long_tail(label, RATIO, seed, LARGEST)
    count = np.bincount(label[kept])[label[kept]]
    train = dataset.train.take(kept).with_columns(class_count=count)
    unequal = Dataset(dataset.name, {**dataset.parts, "train": train}, dataset.facts)
    model = trained(recipe, unequal, seed)
    train, part = (encoded(model, records) for records in (unequal.train, unequal.part(split)))
    mean, spread = train.mean(0), train.std(0) + 1e-6
    classifier = needed("sklearn.linear_model", "probes").LogisticRegression(
        C=0.1, class_weight="balanced", max_iter=300
    )
    known = unequal.train.columns["label"]
    classifier.fit((train - mean) / spread, known)
    label = unequal.part(split).columns["label"]
    right = classifier.predict((part - mean) / spread) == label
    each = {k: float(right[label == k].mean()) for k in np.unique(known).tolist()}
    few = [each[k] for k in each if (known == k).sum() < FEW]
    return {"balanced_accuracy": float(np.mean(list(each.values()))), "few": float(np.mean(few))}


WINDOW = '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]'

CLAIM = Claim(
    "with classes of very unequal size, subclasses as small as the rare classes give better vectors than classes do, and than "
    "classes that weigh alike",
    expect="subclasses > classes, subclasses > class_averages",
    arms={
        "subclasses": Arm(settings={"fit.subclasses.every": 4, "fit.temperatures.every": 4}),
        "classes": Arm(supervised),
        "class_averages": Arm(class_averaged),
    },
    data="mnist",
    trial=trial,
    metric="balanced_accuracy",
    margin=0.005,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "warm_up.batch_size": 128,
        "warm_up.epochs": 4,
        "fit.batch_size": 128,
        "fit.epochs": 12,
        "x.views": WINDOW,
    },
    tune={"fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: state of the art on several long-tailed sets of images (the tables were not seen); supervised contrast and "
    "class-balanced contrast are among the rivals",
    scale="700 digits at 8 x 8 pixels, 250 of the most frequent and 5 of the rarest, a network of 77,000 weights, 16 passes, four "
    "of them warm-up in all arms, windows of 0.4 to 1 as views; batches of 128",
    reading="neither better nor worse than classes, nor than classes that weigh alike in the denominator, to within "
    "two points; no record of the rare classes has more than a few mates here",
)
