"""Autoencoder whose latent vectors repel one another (cMIM): contrast without any view, beside reconstruction, for rows of a table.

Near is nothing but a record's latent vector and itself; all other records are far, their mean standing for them in the denominator, so
that the batch size hardly matters. What keeps the vectors from being arbitrary is the decoder: a mutual information machine (A-MIM),
which wants latent vectors that are likely, certain, and enough to rebuild the record. The encoder gives means and log scales, a draw
from them is contrasted and decoded, and the trained model gives out the means. Recipes of views, such as `image_views`, must know what
may change without changing what a record is; this one need not.

    nearfar train contrastive_autoencoder --data table.jsonl --columns row
    nearfar train contrastive_autoencoder --data table.jsonl --columns row --set objective.temperature=0.5

Source: Livne 2025 (arXiv 2509.21511, and its first version arXiv 2502.19642), for images and molecules. Their body was not seen: the
contrastive term, temperature 0.1, unit weights and the bound on scales are those of a public port which says that it follows the
author's code, the rest is the A-MIM of a public implementation. The network, the decoder of one hidden layer, its normal likelihood
and AdamW are ours. Their "informative embeddings", hidden states of the decoder, belong to the decoder, which is not published with
the model. An encoder of images can stand in place of `mlp`; one that averages over places leaves a decoder little to rebuild from.
Nothing is held out: without a second look no record has a counterpart that it could be asked to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from nearfar.claims.trial import trained_run
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit, Transform
from nearfar.core.use import Use
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.measures.linear_accuracy import linear_accuracy

CARD = Card(
    name="contrastive_autoencoder",
    summary="rows of a table without labels or views: an autoencoder whose latent vectors repel one another (cMIM)",
    related=("mean_denominator", "mutual_information_machine", "gaussian_sample", "first_half", "image_views"),
    data=("tables",),
    papers=("2509.21511", "2502.19642"),
    systems=("119", "120"),
)

SMOKE = Smoke("rows", {"encoder.hidden": 16, "encoder.dimension": 8, "fit.batch_size": 16, "fit.epochs": 2})


def views() -> Recipe:
    """InfoNCE between a row and a look at it in which some features are another row's, with a projector."""
    swapped = (Use("marginal_swap", {"share": 0.3}),)
    return replace(
        recipe(),
        name="views",
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.1),
        also=(),
        stages=recipe().fits,
        streams=(Feed("x", "row", head="projector"), Feed("y", "row", head="projector", views=swapped)),
        heads=(Named("projector", "projector"),),
    )


def flat(records: Records) -> Records:
    """Digits as rows of 64 numbers, one for each pixel that was doubled."""
    pictures = records.many("image", range(len(records)))
    return array_records(row=[one[::2, ::2].ravel() / 255.0 for one in pictures], label=records.columns["label"])


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of a linear classifier on vectors as they are, not at unit length; of autoencoders also the squared error.

    The option `alone` leaves the contrast out.
    """
    rows = Dataset(dataset.name, {name: flat(part) for name, part in dataset.parts.items()}, dataset.facts)
    if given.get("alone"):
        recipe = replace(recipe, objective=recipe.also[0].term, also=())
    made = trained_run(recipe, rows, seed)
    made.model.similarity = "dot"
    figures = {"accuracy": linear_accuracy(made.model, rows, split).figure("accuracy")}
    for term in made.prepared.learner.objective.local().values():
        part = rows.part(split).many("row", range(len(rows.part(split))))
        decoder = term.function.__self__.eval()
        with torch.no_grad():
            rebuilt = decoder(torch.from_numpy(made.model.encode(part)))
        figures["squared_error"] = float((rebuilt - made.model.tower("row").prepare(part)).square().mean())
    return figures


CLAIM = Claim(
    "latent vectors of an autoencoder tell classes better when they repel one another, and better than vectors learned from views",
    expect="contrastive > machine, contrastive > views",
    arms={
        "contrastive": Arm(),
        "machine": Arm(options={"alone": True}),
        "sum_denominator": Arm(settings={"objective.rule": "info_nce"}),
        "views": Arm(recipe=views, settings={"encoder.dimension": 16}),
    },
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.005,
    both={"encoder.hidden": 128, "encoder.layers": 3, "encoder.dimension": 32, "fit.batch_size": 32, "fit.epochs": 12},
    tune={"objective.temperature": (0.1, 0.5), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: cMIM outperforms MIM and InfoNCE in classification and regression, reconstruction being kept; the figures were "
    "not seen",
    scale="perceptrons, 16 latent dimensions, a thousand digits as rows of 64 numbers, twelve passes in batches of 32; views are a "
    "table's, three features in ten from other rows; `sum_denominator` is a control, and batch sizes are not compared",
    reading="half of it holds: an autoencoder's vectors are far better than those of views of a table, but the "
    "repulsion adds nothing to the machine alone, which may spread its vectors by itself on pictures that are "
    "this plain; the sum in the denominator is as good as the mean",
)


def recipe() -> Recipe:
    """One stream, each record once: contrasted with itself, and rebuilt."""
    return Recipe(
        name="contrastive_autoencoder",
        encoder=Use("mlp", {"dimension": 128}),
        objective=Contrast(rule="mean_denominator", relation="paired", temperature=0.1, both_ways=False, y=None),
        also=(Also("autoencoder", Use("mutual_information_machine")),),
        stages=(Fit(batch_size=256, epochs=100, learning_rate=1e-3), Transform("means", "first_half")),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "row", head="latent"),),
        heads=(Named("latent", "gaussian_sample"),),
    )
