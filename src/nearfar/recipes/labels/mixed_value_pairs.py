"""Records with values (ages, prices, yields): negatives weigh by the distance of values, and mixtures of records make harder pairs (SupReMix).

Regression in two steps: vectors first, then a linear map on them (`regression`). Positives of a record are its other look and records of the
very same value; the farther another one's value lies, the more it counts as a negative (`graded_negatives`). So that the space has an
order also between the records, vectors are mixed together with their values: a record with another one, for a negative that is near, and
two records with values on either side, for a positive of exactly the record's value (`mixed_labels`). Supervised contrast on bins of values
knows no order of the bins, and none within.

    nearfar train mixed_value_pairs --data ages.jsonl --columns row,value
    nearfar train mixed_value_pairs --data prices.jsonl --columns row,value --set objective.own.window=20

Distances of values are counted as they are: a weight of 1 + |distance| suits ages in years. Bring other values to a like scale (a
standard deviation of 10 to 20), and let `window` be a third of that, or less.

Source: Wu et al. 2023 (arXiv 2309.16633), from the authors' scripts for ages as a brief of them tells: temperature 0.3, Beta(2, 8), a
window of 5, weights |distance| + 1 of all keys but positives, 128 dimensions, batches of 64, Adam at 0.001 for 100 passes. They mix with all
batch mates, we with 64, and 8 on either side. For tables they are silent about looks, so far as we know; three features in ten from
other rows are ours, as are the perceptron, the projector and its unit length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.maths.rank_correlation import spearman
from nearfar.measures.shared import encoded
from nearfar.probes.regression import regression

CARD = Card(
    name="mixed_value_pairs",
    summary="rows with values: negatives weigh by distance of values, mixed with their values for harder pairs (SupReMix)",
    related=("graded_negatives", "mixed_labels", "regression", "labelled_views"),
    data=("tables", "values"),
    papers=("2309.16633",),
    systems=("074",),
)

SMOKE = Smoke(
    "rows",
    {
        "columns": '["label"]',
        "objective.relation.column": "label",
        "objective.own.column": "label",
        "objective.own.brackets": 32,
        "projector.out": 4,
        "encoder.hidden": 16,
        "encoder.dimension": 8,
        "fit.batch_size": 12,
        "fit.epochs": 2,
    },
)


def recipe() -> Recipe:
    """Two looks at each row, against one another and mixtures of them."""
    return Recipe(
        name="mixed_value_pairs",
        encoder=Use("mlp"),
        objective=Contrast(
            rule="info_nce",
            relation=Use("graded_negatives"),
            similarity="dot",
            temperature=0.3,
            both_ways=False,
            own=Use("mixed_labels"),
            y=None,
        ),
        stages=(Fit(batch_size=64, epochs=100, learning_rate=1e-3),),
        data="records",
        streams=(Feed("x", "row", views=(Use("marginal_swap", {"share": 0.3}),), copies=2, head="projector"),),
        heads=(Named("projector", "projector", {"unit": True}),),
        columns=("value",),
    )


def without_mixtures() -> Recipe:
    """Negatives weighed by the distance of values alone."""
    ours = recipe()
    assert isinstance(ours.objective, Contrast)
    return replace(ours, name="without_mixtures", objective=replace(ours.objective, own=None))


def bins() -> Recipe:
    """Supervised contrast, a tenth of the values a class."""
    ours = recipe()
    assert isinstance(ours.objective, Contrast)
    by_bin = replace(ours.objective, relation=Use("labelled", {"column": "bin"}), own=None)
    return replace(ours, name="bins", objective=by_bin, columns=("bin",))


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """R2 of a linear map from vectors to values, and the correlation of ranks of distances of values and of vectors."""
    value = dataset.train.columns["value"]
    tenth = np.searchsorted(np.quantile(value, np.linspace(0.1, 0.9, 9)), value)
    train = dataset.train.with_columns(bin=tenth)
    model = trained(recipe, Dataset(dataset.name, {**dataset.parts, "train": train}, dataset.facts), seed)
    part = dataset.part(split)
    known, vectors = (encoded(model, records) for records in (dataset.train, part))
    asked = part.columns["value"]
    found = regression(vectors, asked, train=(known, value))
    one, other = np.triu_indices(len(asked), 1)
    order = spearman(np.abs(asked[one] - asked[other]), np.linalg.norm(vectors[one] - vectors[other], axis=1))
    return {"r2": found.figure("r2"), "mae": found.figure("mae"), "order": order}


CLAIM = Claim(
    "pairs mixed together with their values make vectors from which values are foretold better than from those of supervised contrast "
    "on bins, and better than without mixtures",
    expect="mixed > bins, mixed > without_mixtures",
    arms={
        "mixed": Arm(settings={"objective.own.negatives": 16, "objective.own.brackets": 4}),
        "bins": Arm(bins),
        "without_mixtures": Arm(without_mixtures),
    },
    data="turned_digits",
    trial=trial,
    metric="r2",
    margin=0.01,
    both={"encoder.hidden": 128, "encoder.dimension": 32, "encoder.layers": 3, "fit.batch_size": 64, "fit.epochs": 10},
    tune={"objective.temperature": (0.1, 0.3), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: significant improvement on six sets of data, tables among them; the tables were not seen",
    scale="a thousand digits as rows of 64 numbers, turned by angles from -45 to 45 degrees that are the values, a perceptron of 32 dimensions, "
    "ten passes, 16 mixed negatives and 4 brackets on either side; a ridge regression on frozen vectors",
    reading="mixtures help beside weights by distance alone, by about the margin; classes made of tenths of the "
    "values do as well or better by a hundredth. A digit's angle shows in few pixels, and tenths of ninety "
    "degrees tell nearly all of it",
)
