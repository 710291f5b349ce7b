"""Foretelling values of which some are rare: records that the regression confuses although their values differ are pushed apart (ConR).

For ages, prices, doses: where most training records have values of one range, a network foretells something of that range for all,
and records of rare values end up among frequent ones. Positives are records of nearly equal value; negatives only those that are foretold alike
and are not, and the more the farther apart their values are. All is beside the regression itself (absolute errors of a linear map), whose
errors thus say what is to be told apart. `mixed_value_pairs` contrasts all, before any regression. The map belongs to the
objective; what is published are the vectors, for a linear map on them (`regression`).

    nearfar train confused_negatives --data rows.jsonl --columns row,value
    nearfar train confused_negatives --data rows.jsonl --columns row,value,rarity --set objective.rarity=rarity --set columns='["value","rarity"]'

Bring values to a spread of about one, or choose `objective.window`, `gain` and `weight` by their unit.

Source: Keramati et al. 2023 (arXiv 2309.06651), with the authors' code for ages: temperature 0.07, batches of 64, Adam at 2.5e-4, a window of 1 year,
gain 0.01, weight 4, weights of rarity off unless asked for. A window of 0.1, gain 0.2 and weight 0.25 are these for ages with a spread of 10
to 20 years, about; AdamW at 0.001, 100 passes, the perceptron and the looks (two features in ten from other rows) are ours. They regress on
a third, plain look; here on the two that are contrasted. Theirs are pictures. The tables were not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nearfar.claims.trial import trained_run
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records

CARD = Card(
    name="confused_negatives",
    summary="rows with values, some rare: what the regression confuses although it differs is pushed apart (ConR)",
    related=("confused_values", "mixed_value_pairs", "graded_negatives", "regression"),
    data=("tables", "values"),
    papers=("2309.06651",),
    systems=("041",),
)

SMOKE = Smoke(
    "rows",
    {
        "columns": '["label"]',
        "objective.column": "label",
        "objective.window": 0.2,
        "encoder.hidden": 16,
        "encoder.dimension": 8,
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)


def recipe() -> Recipe:
    """Two looks at each row, regressed and contrasted."""
    return Recipe(
        name="confused_negatives",
        encoder=Use("mlp"),
        objective=Use("confused_values"),
        stages=(Fit(batch_size=64, epochs=100, learning_rate=1e-3),),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "row", views=(Use("marginal_swap", {"share": 0.2}),), copies=2),),
        columns=("value",),
    )


SPREAD, RANGES = 26.0, 6  # the standard deviation of the claim's angles; ranges of equal width
COMMON = 30.0  # degrees over which angles get rarer by a factor of e


def thinned(records: Records) -> Records:
    """Records with rare large values: the larger, the fewer are kept; values in standard deviations."""
    value = records.columns["value"]
    kept = np.random.default_rng(0).random(len(value)) < np.exp(-(value - value.min()) / COMMON)
    return records.take(np.flatnonzero(kept)).with_columns(value=value[kept] / SPREAD)


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """The share of the absolute error of the training median that is saved: in all, and where values were rare in training, `few`."""
    train, part = thinned(dataset.train), dataset.part(split)
    made = trained_run(recipe, Dataset(dataset.name, {**dataset.parts, "train": train}, dataset.facts), seed)
    made.model.similarity = "dot"  # vectors as they are, which the map was learned on
    value = next(iter(made.prepared.learner.objective.local().values())).function.__self__
    with torch.no_grad():
        foretold = value.eval()(torch.from_numpy(made.model.encode(part.many("row", range(len(part)))))).numpy()
    known, asked = train.columns["value"], part.columns["value"] / SPREAD
    rare = asked > known.min() + np.ptp(known) * (RANGES - 2) / RANGES  # the two ranges of the largest values
    ours, none = np.abs(asked - foretold), np.abs(asked - np.median(known))
    return {"saved": float(1 - ours.mean() / none.mean()), "few": float(1 - ours[rare].mean() / none[rare].mean())}


CLAIM = Claim(
    "beside a regression whose training values are unevenly frequent, contrast with what it confuses makes its errors smaller, most of "
    "all where values are rare",
    expect="contrast > regression, few: contrast > regression",
    arms={"contrast": Arm(), "regression": Arm(settings={"objective.weight": 0.0})},
    data="turned_digits",
    trial=trial,
    metric="saved",
    margin=0.01,
    both={"encoder.hidden": 128, "encoder.dimension": 32, "encoder.layers": 3, "fit.batch_size": 64},
    tune={"fit.learning_rate": (1e-3, 3e-3), "fit.epochs": (20, 40)},
    source="the abstract: improves all methods on four sets of pictures with rare values (the tables were not seen)",
    scale="some 300 digits as rows of 64 numbers, turned by angles from -45 to 45 degrees that are the values, the large ones rare (a twentieth as many at the end); "
    "measured where all are equally frequent; a perceptron of 32 dimensions; what is told is the share of the error of always saying the median that is saved",
    reading="the regression alone is better by a hundredth, in all and where values are rare: pairs that are confused "
    "are few once the errors are small, and pushing them apart takes from the map that foretells",
)
