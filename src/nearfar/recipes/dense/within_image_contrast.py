"""Patches of one picture that an expression means are near, all other patches of that picture are far: supervised contrast in an image (C-REX).

Counting what an expression means ("the threes", "the red cups") needs patches whose vectors tell alike things of one picture apart. Here
patches meet patches: near are those of one label in one picture, far all others of that picture, those of other labels
and background alike; patches of other pictures are no pair at all. No text has a part in it, so that no vector of a text must be
met, and every patch of the picture is a negative instead of the few expressions that it has. `labelled` is the same across
pictures; `place` compares patches by where they lie.

A record is a patch: numbers that a frozen encoder made of it or its pixels (`row`), the `label` of what it shows as a whole number (-1:
background) and the number of its picture (`scene`). A batch holds `fit.batching.per_class` patches of each of its pictures, and
leaves pictures with fewer out.

    nearfar train within_image_contrast --data patches.jsonl --columns row,label,scene

Source: the abstract of "Improving Contrastive Learning for Referring Expression Counting" (C-REX, 2025) and a review of it: supervised
contrast (Khosla et al. 2020, arXiv 2004.11362) among the tokens of an image alone, beside the loss of a detector of points,
which is not here. Its temperature, weight and architecture were not seen: all numbers are ours.
Nothing is held out: no patch is to find a counterpart of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.predicate import same
from nearfar.core.recipe import Contrast, Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Batching, Fit
from nearfar.core.use import Use
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.measures.shared import encoded
from nearfar.probes.linear_probe import linear_probe
from nearfar.relations.labelled import labelled
from nearfar.relations.paired import paired

CARD = Card(
    name="within_image_contrast",
    summary="patches of one label in one picture are near, all other patches of that picture far (C-REX)",
    related=("labelled", "info_nce", "place", "mlp"),
    data=("tables", "labels"),
    systems=("018",),
)

SMOKE = Smoke(
    "patches",
    {
        "encoder.hidden": 16,
        "encoder.dimension": 8,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "fit.batching.per_class": 8,
    },
)

DIMENSION = 64
BACKGROUND = -1
SIDE, PITCH, PATCH = 4, 9, 12  # patches a side, pixels from one to the next, pixels of one: neighbours reach in
SCENES = {"train": 250, "dev": 60, "test": 100}
PICTURES = 1_000  # seed of the pictures of dev and test, the same for all trials


def across() -> Recipe:
    """Patches of all pictures of the batch: of one label near, the others far."""
    ours = recipe()
    return replace(ours, name="across", objective=replace(ours.objective, relation="labelled"))  # pyright: ignore[reportArgumentType]


def texts() -> Recipe:
    """Each patch against the learned vectors of all expressions; background patches have none."""
    keys = Use("prototypes", {"count": 10, "dimension": DIMENSION})
    ours = recipe()
    return replace(ours, name="texts", objective=replace(ours.objective, relation=paired("label"), keys=keys))  # pyright: ignore[reportArgumentType]


def texts_with_background() -> Recipe:
    """The same, with a learned vector of the background too, the eleventh."""
    keys = Use("prototypes", {"count": 11, "dimension": DIMENSION})
    relation = paired("label").positives(same("shows", "label"))
    ours = recipe()
    return replace(
        ours,
        name="texts_with_background",
        objective=replace(ours.objective, relation=relation, keys=keys),  # pyright: ignore[reportArgumentType]
        columns=(*ours.columns, "shows"),
    )


def scenes(records: Records, n: int, seed: int) -> Records:
    """`n` pictures of 16 places, of which some hold digits of four classes, under a light of each picture's own; a record a patch."""
    chance = np.random.default_rng(seed)
    digits = np.stack(records.many("image", range(len(records))))[:, ::2, ::2] / 255
    of_class = [np.flatnonzero(records.columns["label"] == c) for c in range(10)]
    size = SIDE * PITCH + PATCH - PITCH
    row, label = [], []
    for _ in range(n):
        canvas, kinds = np.zeros((size, size)), chance.choice(10, 4, replace=False)
        shows = np.where(chance.random(SIDE**2) < 0.25, BACKGROUND, chance.choice(kinds, SIDE**2))
        corners = [(PITCH * (i // SIDE), PITCH * (i % SIDE)) for i in range(SIDE**2)]
        for (y, x), kind in zip(corners, shows.tolist(), strict=True):
            if kind != BACKGROUND:
                dy, dx = chance.integers(1, 4, 2)
                canvas[y + dy : y + dy + 8, x + dx : x + dx + 8] += digits[chance.choice(of_class[kind])]
        light, noise = chance.uniform(0.4, 1.0), chance.uniform(0.05, 0.15)
        canvas = chance.uniform(-0.3, 0.3) + light * canvas + noise * chance.normal(size=canvas.shape)
        row += [canvas[y : y + PATCH, x : x + PATCH].ravel() for y, x in corners]
        label += shows.tolist()
    return array_records(
        row=np.stack(row).astype(np.float32),
        label=label,
        shows=[10 if c == BACKGROUND else c for c in label],
        scene=np.repeat(np.arange(n), SIDE**2),
    )


def errors(predicted: np.ndarray, label: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """Predicted less true number of patches of every class that a picture shows."""
    return np.array(
        [
            np.sum(predicted[scene == s] == c) - np.sum(label[scene == s] == c)
            for s in np.unique(scene)
            for c in np.unique(label[scene == s])
            if c != BACKGROUND
        ]
    )


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Counts of each expression in pictures of the part, read by a linear classifier of the training patches. With the option `raw`
    it reads plain pixels. Errors are negative, so that greater is better.
    """
    train = scenes(dataset.train, SCENES["train"], seed)
    part = scenes(dataset.part(split), SCENES[split], PICTURES)
    if given.get("raw"):
        vectors = [np.stack(p.many("row", range(len(p)))) for p in (part, train)]
    else:
        model = trained(recipe, Dataset("digit_scenes", {"train": train}, dataset.facts), seed)
        vectors = [encoded(model, records) for records in (part, train)]
    label, scene = part.columns["label"], part.columns["scene"]
    read = linear_probe(vectors[0], label, train=(vectors[1], train.columns["label"]))
    found = errors(np.asarray(read.facts["classes"])[read.columns["predicted"].astype(int)], label, scene)
    return {
        "negative_mae": -float(np.abs(found).mean()),
        "negative_rmse": -float(np.sqrt(np.square(found, dtype=float).mean())),
        "accuracy": read.figures()["accuracy"],
    }


CLAIM = Claim(
    "patches contrasted with the patches of their own picture count what an expression means with a smaller error than patches "
    "contrasted with texts of expressions",
    expect="within > texts, within > texts_with_background",
    arms={
        "within": Arm(),
        "texts": Arm(recipe=texts),
        "texts_with_background": Arm(recipe=texts_with_background),
        "across": Arm(recipe=across),
        "raw": Arm(options={"raw": True}),
    },
    data="digits",
    trial=trial,
    metric="negative_mae",
    margin=0.02,
    both={"encoder.hidden": 128, "encoder.layers": 3, "fit.batch_size": 256},
    tune={"objective.temperature": (0.1, 0.3), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: more than 22 % lower MAE and 10 % lower RMSE than previous methods in referring expression counting, of which the "
    "contrast within the image is one part and a detector of centroids the other",
    scale="pictures of 16 places with digits of 8 x 8 pixels under a light of each picture's own; a small network on patches of pixels; no "
    "detector: a linear classifier of training patches counts; texts are learned vectors, one an expression; `across`, "
    "the same contrast over the pictures of a batch, and `raw`, plain pixels, are controls",
    reading="learned vectors of expressions count better than contrast within pictures alone, and so does the same contrast across the "
    "pictures of a batch: what ties the patches of different pictures together is missing within one. The paper adds the contrast to a "
    "detector's loss that sees texts; that sum is not tried here",
)


def recipe() -> Recipe:
    """Supervised contrast among the patches of each picture."""
    return Recipe(
        name="within_image_contrast",
        encoder=Use("mlp", {"dimension": DIMENSION}),
        objective=Contrast(
            rule="info_nce", relation=labelled().only(same("scene")), temperature=0.1, both_ways=False, y=None
        ),
        stages=(
            Fit(
                batch_size=256,
                epochs=20,
                learning_rate=1e-3,
                warmup=0.1,
                batching=Batching(balance="scene", per_class=16, small_classes="leave_out"),
            ),
        ),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "row"),),
        columns=("label", "scene"),
    )
