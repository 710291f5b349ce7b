"""Normal rows of a table attract one another and are pushed from altered ones (CLAN): anomalies are what lies far from their centre.

Train on normal records alone. All of them are near to all others, whatever their record; far is every altered look, of which at
least one feature is noise. That is the other way round than in recipes of views, where the altered look at a record is its positive and
all other normal records are negatives. Afterwards a record is as anomalous as its vector is far from the mean of the normal ones, one
cosine a record: `centroid_anomaly`.

    nearfar train augmented_negatives --data normal.jsonl --columns row --out runs/normal
    nearfar encode runs/normal --data traffic.jsonl --column row --out vectors.npy

Words and categories of a row must be numbers, and noise in a one-hot feature is easily told: leave them out, or swap them by a view of
your own.

Source: Wilkie et al. 2025 (CLAN, IEEE CSR, pages 206-213), by the authors' code: both terms, margin 0.6, equal weights, the alteration
(each feature of a standardised row with probability 0.1 from U(-1.5, 1.5)), 64 dimensions, weight decay 1e-4. They have 4 hidden layers of
1,024 with dropout 0.1, batches of 8,192 for 200 passes and a learning rate that stays at 1e-6; 256 wide without dropout, batches of 512,
20 passes at 0.001 and a cosine are ours. At least one feature is altered, so that no negative is a normal record; theirs may be.
Nothing is held out: no record is to find its altered look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.draws import Draws
from nearfar.core.optional import needed
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.maths.threshold_metrics import auroc
from nearfar.measures.centroid_anomaly import centroid_anomaly
from nearfar.measures.shared import encoded
from nearfar.probes.anomaly import anomaly
from nearfar.views.table.uniform_replacement import uniform_replacement

CARD = Card(
    name="augmented_negatives",
    summary="normal rows of a table attract one another, altered ones are far: anomalies by their distance (CLAN)",
    related=("active_pull", "active_push", "same_view", "uniform_replacement", "centroid_anomaly"),
    data=("tables",),
    systems=("012",),
)

SMOKE = Smoke("rows", {"encoder.hidden": 16, "encoder.dimension": 8, "fit.batch_size": 16, "fit.epochs": 2})

FEWEST = 10  # records of a kind of attack that is measured by itself
COPIES = 5  # altered looks at each record for the classifier


def views() -> Recipe:
    """InfoNCE between a row and its altered look, with a projector: other normal rows are the negatives."""
    x, y = recipe().streams
    return replace(
        recipe(),
        name="views",
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.1),
        also=(),
        streams=(replace(x, head="projector"), replace(y, head="projector")),
        heads=(Named("projector", "projector"),),
    )


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """AUROC, on the test part as the mean over kinds of attacks; the option `by` scores without an encoder, `nearest` by
    the nearest normal vector instead of their centre.
    """
    part = dataset.part(split)
    anomalous = part.columns["anomalous"].astype(bool)
    if given.get("by"):
        score = SCORES[given["by"]](*_standardised(dataset, split), seed)
    else:
        model = trained(recipe, dataset, seed)
        if given.get("nearest"):
            vectors = [encoded(model, records) for records in (part, dataset.train)]
            score = anomaly(vectors[0], anomalous, normal=vectors[1]).columns["score"]
        else:
            score = centroid_anomaly(model, dataset, split).columns["score"]
    everything = auroc(score, anomalous)
    kinds, counts = np.unique(part.columns["attack"][anomalous], return_counts=True)
    each = [
        auroc(score[chosen], anomalous[chosen])
        for kind in kinds[(counts >= FEWEST) & (kinds >= 0)]
        for chosen in [~anomalous | (part.columns["attack"] == kind)]
    ]
    return {"mean_auroc": float(np.mean(each)) if each else everything, "auroc": everything}


def _standardised(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training part and of another one, by mean and spread of the first."""
    train, part = (np.stack(p.many("row", range(len(p)))) for p in (dataset.train, dataset.part(split)))
    mean, spread = train.mean(0), train.std(0)
    return (train - mean) / spread, (part - mean) / spread


def forest(train: np.ndarray, part: np.ndarray, seed: int) -> np.ndarray:
    """Isolation forest."""
    ensemble = needed("sklearn.ensemble", "probes")
    return -ensemble.IsolationForest(random_state=seed).fit(train).score_samples(part)


def real_or_altered(train: np.ndarray, part: np.ndarray, seed: int) -> np.ndarray:
    """A logistic regression on features and their squares, trained to tell rows from altered ones: what the alteration alone can do."""
    linear = needed("sklearn.linear_model", "probes")
    alter, inputs = uniform_replacement(), torch.from_numpy(train)
    looks = [alter(inputs, Draws(seed, epoch, torch.arange(len(inputs)))).numpy() for epoch in range(COPIES)]
    rows = np.concatenate([train, *looks])
    label = np.repeat([0, 1], [len(train), COPIES * len(train)])
    model = linear.LogisticRegression(max_iter=200, class_weight="balanced")
    return model.fit(_with_squares(rows), label).decision_function(_with_squares(part))


def _with_squares(rows: np.ndarray) -> np.ndarray:
    """Beyond ten standard deviations a feature says no more."""
    bounded = rows.clip(-10, 10)
    return np.concatenate([bounded, bounded**2], 1)


def nearest(train: np.ndarray, part: np.ndarray, _: int) -> np.ndarray:
    """The cosine to the nearest normal row: no training at all."""
    nothing = np.arange(len(part)) % 2
    return anomaly(part, nothing, normal=train).columns["score"]


SCORES = {"nearest": nearest, "forest": forest, "real_or_altered": real_or_altered}

CLAIM = Claim(
    "normal rows that are pushed from altered ones find attacks better than normal rows that are pulled to them, "
    "better than an isolation forest and than telling altered rows by their features",
    expect="negatives > positives, negatives > forest, negatives > real_or_altered",
    arms={
        "negatives": Arm(),
        "positives": Arm(recipe=views, options={"nearest": True}),
        "forest": Arm(options={"by": "forest"}),
        "real_or_altered": Arm(options={"by": "real_or_altered"}),
        "nearest": Arm(options={"by": "nearest"}),
    },
    data="nsl_kdd",
    trial=trial,
    metric="mean_auroc",
    margin=0.01,
    both={"encoder.hidden": 128, "fit.batch_size": 256},
    tune={"fit.learning_rate": (3e-4, 1e-3, 3e-3), "fit.epochs": (5, 15)},
    source="the README: mean AUROC 0.959 over attacks of Lycos2017, above self-supervised and anomaly-detection baselines; it hides losses, "
    "such as 0.916 on Botnet where SimSiam has 0.996",
    scale="NSL-KDD in place of Lycos2017, 3,000 normal connections, a small network; settings are chosen by records with features of other "
    "records, never by attacks; `positives` are scored by the nearest normal vector, which suits vectors without one centre; `nearest`, "
    "the same of plain features, is a control",
    reading="altered rows as negatives beat altered rows as positives, as claimed, and learn more than to tell altered "
    "rows. An isolation forest on plain features, which the paper does not name, is better than both, and the "
    "nearest normal row on plain features is as good",
)


def recipe() -> Recipe:
    """Normal rows among themselves, and against altered ones."""
    return Recipe(
        name="augmented_negatives",
        encoder=Use("mlp", {"dimension": 64, "hidden": 256, "layers": 5}),
        objective=Contrast(rule="active_pull", relation="same_view", temperature=1.0, both_ways=False, y=None),
        also=(Also("push", Contrast(rule="active_push", relation="same_view", temperature=1.0, both_ways=False)),),
        stages=(Fit(batch_size=512, epochs=20, learning_rate=1e-3, weight_decay=1e-4),),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "row"), Feed("y", "row", views=(Use("uniform_replacement"),))),
    )
