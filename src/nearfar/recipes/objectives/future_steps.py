"""Series and recordings without labels: what is known at each step tells later steps among those of all others (CPC).

For long signals of which much hangs together over time: sensors, sound, outlines. A network turns windows into steps, and a
recurrent one sums up all steps so far; that state has to find the true step one, two, up to twelve steps later among all
steps of the batch, by a learned map a distance. What is near (noise, the exact shape) cannot be foretold over many steps, so the state
keeps what lasts. No views are needed, where for series nobody knows which are harmless. The features are the mean of the states.
`temporal` (a relation) holds near steps for alike; next values themselves are not predicted.

    nearfar train future_steps --data series.jsonl --columns series
    nf.train("future_steps", data={"series": waves}, settings=("encoder.strides=[5,4,2,2,2]",))

Let a step be a window in which little happens (10 ms of speech), and `objective.steps` at most half of the steps of a record. With
`objective.negatives=others` whatever a whole record has in common (a speaker) makes the task easy; with `same` it is of no use.

Source: van den Oord et al. 2018 (arXiv 1807.03748), from memory: products by a map a distance, 12 distances, windows and a GRU, Adam at
2e-4; their ablation has 28.5 % of phones with 2 distances, 64.6 with 12 and 63.8 with 16. No code of the authors is known. Negatives from
all of the batch, 64 dimensions, batches of 32 and 50 passes at 0.001 are ours. Nothing is held out: no record is to find another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearfar.claims.trial import measured, trained, untrained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset

CARD = Card(
    name="future_steps",
    summary="series without labels: the state at each step finds later steps among all others (CPC)",
    related=("step_prediction", "recurrent_series", "temporal", "info_nce"),
    data=("series", "audio"),
    papers=("1807.03748",),
    systems=("158",),
)

SMOKE = Smoke(
    "series",
    {
        "encoder.dimension": 8,
        "encoder.strides": "[8]",
        "objective.steps": 3,
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)


def recipe() -> Recipe:
    """States x and steps y of the same records, through one encoder."""
    return Recipe(
        name="future_steps",
        encoder=Use("recurrent_series", {"dimension": 64, "strides": (4,)}),
        objective=Use("step_prediction", {"steps": 12, "negatives": "both"}),
        stages=(Fit(batch_size=32, epochs=50, learning_rate=1e-3),),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "series", layer=1), Feed("y", "series", layer=0)),
    )


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of a linear classifier on the mean states; the option `untrained` leaves the weights as they were drawn."""
    model = (untrained if given.get("untrained") else trained)(recipe, dataset, seed)
    return {"accuracy": measured(Use("linear_accuracy"), model, dataset, split).figure("accuracy")}


CLAIM = Claim(
    "states that foretell several steps tell classes better than those that foretell one step, and than those of random weights",
    expect="several > one, several > untrained",
    arms={
        "several": Arm(settings={"objective.steps": 4}),
        "one": Arm(settings={"objective.steps": 1}),
        "untrained": Arm(options={"untrained": True}),
    },
    data="swedish_leaf",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both={"encoder.strides": [4, 2], "fit.batch_size": 16, "fit.epochs": 6},
    tune={"objective.negatives": ("others", "both"), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: one way of learning for speech, pictures, text and reinforcement learning; for phones 64.6 % against 27.6 of "
    "random weights, from memory",
    scale="400 outlines of leaves of 128 steps for speech, windows of 8 steps, so that a record has 16; 64 dimensions, four distances, "
    "six passes in batches of 16; the classes are those of whole records",
    reading="several steps are better than one, but the gain is not surely above the margin; both are far better than "
    "random weights, so the states do learn from what comes next",
)
