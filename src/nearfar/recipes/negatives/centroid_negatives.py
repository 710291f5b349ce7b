"""Dropout views with centroids as hard negatives, and batch mates of one cluster kept in a band of similarity (ClusterNS).

Sentences without labels are near their own second pass and far from others, as in `dropout_views`; but others are of two kinds.
Centroids of what has been seen stand for topics: the one second nearest to a sentence is a topic that it might be taken for, and a
negative harder than a random batch mate. Batch mates of the same cluster may mean the same: they stay
among the negatives, but `false_negative_band` keeps them from being pushed too far. With a weight of 0.001, and the sum over a few
pairs divided by those of the whole batch, that term is faint by construction. `online_centroids` says how centroids begin and move.

    nearfar train centroid_negatives --data sentences.jsonl --set encoder.folder=bert-base-uncased
    nearfar train centroid_negatives --data sentences.jsonl --set objective.keys.k=64 --set false_negatives.term.below=0.5

Source: Deng et al. 2023 (arXiv 2305.09892), and the authors' code as a brief of it tells: 128 centroids, batches of 256 at 5e-5, a
weight of 0.001 for BERT (0.0001 for RoBERTa), the rest as in SimCSE.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.text.dropout_views import CLAIM as OF_DROPOUT
from nearfar.recipes.text.dropout_views import SMOKE as OF_SENTENCES
from nearfar.recipes.text.dropout_views import recipe as dropout_views

CARD = Card(
    name="centroid_negatives",
    summary="dropout views with second-nearest centroids as negatives, batch mates of a cluster in a band (ClusterNS)",
    related=("dropout_views", "online_centroids", "false_negative_band"),
    data=("texts",),
    papers=("2305.09892",),
    systems=("195",),
)

SMOKE = Smoke("texts", {**OF_SENTENCES.settings, "objective.keys.k": 4, "objective.keys.start": 1.0})

CLAIM = Claim(
    "second-nearest centroids as further negatives, and the band for batch mates of a cluster, make better sentence vectors",
    expect="centroids > plain",
    arms={"centroids": Arm(settings={"objective.keys.k": 32}), "plain": Arm("dropout_views")},
    data="stsb",
    measure=Use("sts_correlation"),
    margin=0.002,
    both={**OF_DROPOUT.both, "fit.batch_size": 64},
    tune=OF_DROPOUT.tune,
    source="their tables, not seen: better than SimCSE by about a point on seven STS tasks, on average",
    scale=OF_DROPOUT.scale + "; 32 centroids of batches of 64",
    reading="a loss of eight thousandths, surely a loss: 31 steps from random weights leave centroids of word counts, "
    "not of topics, and what is second nearest to a sentence among those may well mean the same. "
    "Whether it helps where topics are known beforehand, as in their pretrained BERT, this does not say",
)


def recipe() -> Recipe:
    """`dropout_views` with further keys and a further term. Say `encoder.folder`."""
    plain = dropout_views()
    fit = replace(plain.fits[0], batch_size=256, learning_rate=5e-5)
    return replace(
        plain,
        name="centroid_negatives",
        objective=Contrast(temperature=0.05, both_ways=False, keys=Use("online_centroids")),
        also=(Also("false_negatives", Use("false_negative_band"), weight=0.001),),
        stages=(fit,),
    )
