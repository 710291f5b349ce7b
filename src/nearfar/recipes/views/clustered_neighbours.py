"""Images for few-shot learning: a teacher's view and past keys of its cluster are positives, all records spread (BECLR).

A student's prediction from one view should be what a slow teacher makes of another one, and of the view's nearest past keys in the same
cluster of a memory that is divided evenly: so classes draw together that nobody named. What keeps all from being one is a
weak push of every two pictures apart. Afterwards new classes are told from a record or a few each. `momentum_contrast` has past
keys as negatives; here they are positives, and `transported_prototypes` is the second half of the paper, at the time of use.

    nearfar train clustered_neighbours --data photos/
    nearfar train clustered_neighbours --data photos/ --set objective.keys.clusters=20 --set objective.keys.size=800

As many clusters as there may be kinds, and a memory of tens of keys each that a few passes fill.

Source: Poulakakis-Daktylidis and Jamali-Rad 2024 (arXiv 2402.02444), their configuration as a brief of it tells: both terms, the push with
temperature 2 and weight 0.1 (here as `uniformity`, which differs by a constant), 5 neighbours, 200 clusters of 40 keys on average, 400
passes in batches of 256. There the memory is used after 60 passes and 15 % of each picture is masked; here as soon as it is
full, without masks. Their push is over the neighbours too, of which an anchor's own are negatives in their code; here over the views alone. Their
teacher keeps 0.995 and ever more of itself, theirs is SGD at 0.3 with batch norm: 0.99, AdamW at 0.001, layer norm in the predictor and 100
passes are ours. The windows are those of `momentum_contrast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.transported_prototypes import transported_prototypes
from nearfar.recipes.views.momentum_contrast import VIEWS

CARD = Card(
    name="clustered_neighbours",
    summary="a teacher's view and past keys of its cluster as positives, for few-shot learning (BECLR)",
    related=("clustered_memory", "transported_prototypes", "momentum_contrast", "few_shot"),
    data=("images",),
    papers=("2402.02444",),
    systems=("019",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "objective.keys.clusters": 4,
        "objective.keys.size": 32,
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)


def recipe() -> Recipe:
    """Two views of every picture through the student, the same two through the teacher."""
    return Recipe(
        name="clustered_neighbours",
        encoder=Use("convolutional"),
        objective=Contrast(
            rule="pull",
            relation="multi_view",
            temperature=1.0,
            both_ways=False,
            predictor="predictor",
            keys=Use("clustered_memory", {"clusters": 200, "size": 8000}),
        ),
        also=(Also("spread", Use("uniformity", {"t": 0.25}), weight=0.1),),
        stages=(Fit(batch_size=256, epochs=100, learning_rate=1e-3, weight_decay=1e-4, teacher=0.99),),
        data="images",
        streams=(
            Feed("x", "image", views=VIEWS, copies=2, head="projector"),
            Feed("y", "image", views=VIEWS, copies=2, look=0, head="projector", through="momentum"),
        ),
        heads=(Named("projector", "projector"),),
    )


def without_neighbours() -> Recipe:
    """The teacher's other view alone, and the push."""
    ours = recipe()
    assert isinstance(ours.objective, Contrast)
    return replace(ours, objective=replace(ours.objective, keys=None), name="clustered_neighbours_without_neighbours")


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of five ways with one record each, of characters that were not trained on; the option `read` says by which figure."""
    part, model = dataset.part(split), trained(recipe, dataset, seed)
    found = transported_prototypes(encoded(model, part), part.columns["label"], episodes=150).figures()
    return {"accuracy": found[given["read"]], **found}


WINDOW = '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]'
MEMORY = {"objective.keys.clusters": 40, "objective.keys.size": 800}

CLAIM = Claim(
    "with one record a class, past keys of the same cluster as positives make better features, and transport of the prototypes "
    "onto the queries better answers",
    expect="both > without_neighbours, both > without_transport",
    arms={
        "both": Arm(settings=MEMORY, options={"read": "transported_accuracy"}),
        "without_neighbours": Arm(without_neighbours, options={"read": "transported_accuracy"}),
        "without_transport": Arm(settings=MEMORY, options={"read": "prototype_accuracy"}),
    },
    data="omniglot_small",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both={
        "encoder.size": 16,
        "encoder.channels": 1,
        "encoder.width": 8,
        "objective.predictor": None,
        "spread.term": '{"part": "uniformity", "options": {"t": 2.0}}',
        "fit.batch_size": 64,
        "fit.epochs": 4,
        "fit.learning_rate": 3e-3,
        "fit.teacher": 0.5,
        "x.views": WINDOW,
        "y.views": WINDOW,
    },
    tune={"spread.weight": (0.05, 0.1, 0.2)},
    source="the abstract: state of the art on all unsupervised few-shot benchmarks, most with few records; that each half adds is their "
    "ablation, not seen",
    scale="80 handwritten characters of 20 drawings at 16 x 16 pixels, episodes of five of 36 others with one record and 15 queries "
    "each, 40 clusters in a memory of 400 pictures in two views, four passes. In a hundred steps nothing is learned with a predictor, a slow "
    "teacher or a push of temperature 2 (seen on the dev part without neighbours): no arm has a predictor, teachers keep a half of "
    "themselves, the temperature is 0.25. Queries are of all classes equally, as transport supposes: "
    "`uneven_accuracy` is without that, `soft_k_means_accuracy` uses the queries without it",
    reading="neighbours as positives cost four points and transport perhaps two: a memory of 400 pictures in 40 "
    "clusters may give wrong positives more often than the paper's of thousands. No arm has a predictor, "
    "since none learned with it in so few steps",
)
