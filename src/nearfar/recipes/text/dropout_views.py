"""Sentences without labels: of two passes of a sentence, which dropout alone tells apart, each finds the other (SimCSE).

For a language model that has never been made a sentence encoder, and sentences, nothing else. A sentence goes through the encoder twice;
dropout hides other numbers each time, and that is all that the two passes differ in. The first pass is the query, the second pass
of every sentence of the batch a key. Longer views (crops, deleted words, other words) change the meaning more often than dropout does.
A layer with tanh stands behind the encoder while it trains, and is not published. Equal sentences share no batch, where they would be
each other's negatives. `image_views` is the same for pictures; `fine_tune` is for pairs that somebody has made, and with pairs of
premise, entailed sentence and contradiction it is the paper's supervised form (but for that layer, which is published there):
`nearfar train fine_tune --data nli.jsonl --columns premise,entailed,contradiction --set objective.both_ways=false`.

    nearfar train dropout_views --data sentences.jsonl --set encoder.folder=bert-base-uncased
    nearfar train dropout_views --data sentences.jsonl --set encoder.part=transformer --set fit.learning_rate=0.001

Source: Gao, Yao and Chen 2021 (arXiv 2104.08821), and the authors' code as a brief of it tells: temperature 0.05, one way, the first
token, the layer with tanh, 32 tokens at most, batches of 64 at 3e-5 for a base model, one pass over a million sentences of Wikipedia,
dropout as the model has it (0.1). They keep the weights that do best on STS-B's development pairs (`fit.keep`, with a probe); here the
last. Decay to zero and a gradient of norm 1 at most are the defaults of the trainer that they use, from memory. That equal sentences
are kept apart is ours.
"""

from __future__ import annotations

from nearfar.core.batching import Batching
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use

CARD = Card(
    name="dropout_views",
    summary="sentences without labels: two passes with other dropout find each other (SimCSE)",
    related=("image_views", "fine_tune", "tanh_layer", "word_deletion"),
    data=("texts",),
    papers=("2104.08821",),
    systems=("154",),
)

FRESH = {"encoder.part": "transformer", "encoder.depth": 1}

SMOKE = Smoke(
    "texts",
    FRESH
    | {
        "encoder.dimension": 16,
        "encoder.heads": 2,
        "encoder.vocabulary": 300,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "fit.learning_rate": 0.003,
    },
)

CLAIM = Claim(
    "dropout alone makes better pairs than no noise at all, and than deleted words beside it",
    expect="dropout > none, dropout > deletion",
    arms={
        "dropout": Arm(),
        "none": Arm(settings={"encoder.dropout": 0.0}),
        "deletion": Arm(settings={"y.views": '["word_deletion"]'}),
    },
    data="stsb",
    measure=Use("sts_correlation"),
    margin=0.005,
    both=FRESH
    | {
        "encoder.dimension": 64,
        "encoder.pooling": "mean",
        "encoder.vocabulary": 4096,
        "encoder.dropout": 0.1,
        "fit.epochs": 0.2,
    },
    tune={"fit.learning_rate": (1e-4, 3e-4, 1e-3), "objective.temperature": (0.05, 0.1)},
    source="the paper's tables on STS-B dev, from memory: 82.5 with dropout of 0.1, 71.1 without, 75.9 with words deleted too",
    scale="one block that starts from random weights instead of BERT, mean of tokens, 31 steps of 64 sentences: no language is known "
    "beforehand, so that words in common decide",
    reading="dropout against nothing is the other way round here. The paper's noise keeps what a pretrained network "
    "knows; this network knows nothing, two equal passes leave its random vectors of words to be spread, and "
    "dropout adds noise to 31 steps that have no time to learn to ignore it. Deleted words beside it make no "
    "difference",
)


def recipe() -> Recipe:
    """Two streams of the same sentences through one tower, whose dropout differs from stream to stream. Say `encoder.folder`."""
    return Recipe(
        name="dropout_views",
        encoder=Use("pretrained", {"pooling": "cls", "max_tokens": 32}),
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.05, both_ways=False),
        stages=(
            Fit(
                batch_size=64,
                epochs=1,
                learning_rate=3e-5,
                schedule="linear",
                clip=1.0,
                batching=Batching(avoid=("text",)),
            ),
        ),
        data="texts",
        streams=(Feed("x", "text", head="tanh_layer"), Feed("y", "text", head="tanh_layer")),
        heads=(Named("tanh_layer", "tanh_layer"),),
    )
