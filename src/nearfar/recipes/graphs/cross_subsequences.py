"""Histories that led to the same item are near, for next-item recommendation, and so are histories of one intent (ICSRec).

Two people who bought the same thing next wanted the same then: a history and a history of somebody else with the same next item
are a pair, all histories in the batch with another next item are negatives, those with the same one are left out. What people
want is also looked for in coarser groups: each pass all histories are clustered, and a history is drawn to its cluster's centre and away from
histories and centres of other clusters. Both stand beside the softmax over all items, which alone says what comes next. Other
recommenders make the pair by damaging one sequence (`item_crop`, `item_mask`, `item_reorder`); here it is another real one.

    nf.train("cross_subsequences", nf.subsequences(sequences), settings=("encoder.items=12101",))

`sequences` are lists of item numbers; lists in files are not read by the command line. Histories of one's own making are data too:
{"items": [[4, 17, 3], ...], "next": [25, ...]}. Settings fit.measure=1 and fit.probe=next_item_ranking show how it goes.

Source: Qin et al. 2023 (arXiv 2310.14318), formula and numbers from the authors' code: 64 dimensions, two blocks and heads, the last 50
items, dropout 0.5, Adam at 0.001 in batches of 256; for Beauty weights 0.3 and 0.1 and 256 clusters, for their other sets 0.1 to 0.3,
0.1 and 256 to 1,024; plain products at temperature 1. Theirs is the sum of two views' losses against centres, ours the mean, so 0.1
is 0.2 here. They cluster by Euclidean k-means and then bring centres to unit length; here it is spherical k-means: vectors come out of a layer
norm and are of nearly equal length. They encode the first history once more, with other dropout, for the softmax; here one vector
serves both. A history whose next item nobody else has is its own pair, seen twice with different dropout. 50 passes are ours: they stop
early. The published table of results was not seen.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Also, Contrast, Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit, Refresh
from nearfar.core.use import Use

CARD = Card(
    name="cross_subsequences",
    summary="recommendation: histories that led to the same item are near, and those of one intent (ICSRec)",
    related=("next_item_cross_entropy", "centre_contrast", "masked_views", "self_attention"),
    data=("sequences",),
    papers=("2310.14318",),
    systems=("245",),
)

SMALL = {"encoder.dimension": 16, "encoder.depth": 1, "encoder.max_items": 8, "encoder.items": 40}

SMOKE = Smoke("subsequences", {**SMALL, "fit.batch_size": 16, "fit.epochs": 2, "fit.clusters.by.k": 4})

SAME_NEXT = Contrast(
    rule="info_nce",
    relation=Use("masked_views", {"column": "next"}),
    similarity="dot",
    temperature=1.0,
    both_ways=False,
    y=None,
)


def recipe() -> Recipe:
    """The softmax over items, the contrast of histories, and the contrast with centres."""
    return Recipe(
        name="cross_subsequences",
        encoder=Use("self_attention", {"dropout": 0.5}),
        objective=Use("next_item_cross_entropy"),
        also=(Also("same_next", SAME_NEXT, 0.3), Also("intents", Use("centre_contrast"), 0.2)),
        stages=(
            Fit(
                batch_size=256,
                epochs=50,
                learning_rate=1e-3,
                schedule="constant",
                refresh=(
                    Refresh("clusters", Use("clusters", {"k": 256}), "cluster"),
                    Refresh("centres", Use("class_centres", {"label": "cluster"}), "centre"),
                ),
            ),
        ),
        data="records",
        streams=(Feed("x", "items", copies=2, same="next"),),
        columns=("next",),
    )


def without_intents() -> Recipe:
    """The contrast of histories alone beside the softmax."""
    ours = recipe()
    fit = replace(ours.fits[0], refresh=())
    return replace(ours, name="cross_subsequences_without_intents", also=ours.also[:1], stages=(fit,))


def without_same_next() -> Recipe:
    """The contrast with centres alone beside the softmax."""
    ours = recipe()
    return replace(ours, name="cross_subsequences_without_same_next", also=ours.also[1:])


def without_contrast() -> Recipe:
    """The softmax over items on the same histories, each seen once."""
    ours = recipe()
    streams = (replace(ours.streams[0], copies=1, same=""),)
    fit = replace(ours.fits[0], refresh=())
    return replace(ours, name="cross_subsequences_without_contrast", also=(), stages=(fit,), streams=streams)


CLAIM = Claim(
    "beside the same softmax on the same histories, both contrasts together rank the next item higher",
    expect="both > softmax",
    arms={
        "both": Arm(settings={"fit.clusters.by.k": 32}),
        "same_next": Arm(without_intents),
        "intents": Arm(without_same_next, settings={"fit.clusters.by.k": 32}),
        "softmax": Arm(without_contrast),
    },
    data="beauty_sequences",
    measure=Use("next_item_ranking"),
    margin=0.002,
    both={
        "encoder.dimension": 32,
        "encoder.depth": 1,
        "encoder.max_items": 8,
        "encoder.items": 400,
        "fit.batch_size": 128,
        "fit.epochs": 5,
    },
    tune={"fit.learning_rate": (3e-3, 1e-2), "encoder.dropout": (0.1, 0.3)},
    source="the abstract: better than all rivals on four sets of data (the tables were not seen); there the softmax of SASRec's "
    "encoder is trained without the histories, so that it is not known what of the gain is theirs",
    scale="400 people and 400 items of Beauty, one block of 32 dimensions, eight items back, 32 intents, batches of 128, five passes",
    reading="the direction is the paper's, the interval holds zero. The other two arms say where it comes from: "
    "intents alone gain, the same next item alone loses, in a catalogue of 400 items where few people share a "
    "next item; tables of thousands of people would be needed",
)
