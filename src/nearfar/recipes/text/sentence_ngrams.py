"""Sentences as means of word and n-gram vectors, learned so that each word scores high with the rest of its sentence (Sent2Vec).

For sentences, nothing else, and no accelerator: a step is a few sums. No sentence is contrasted with another one; the contrast is of a word with
drawn words, given the sentence (`word_in_sentence`). So there are no batches to be large, no views and no temperature, and equal sentences do
no harm. What comes out is a mean of vectors, quick to make and hard to beat by little training. `dropout_views` contrasts sentences and wants
a language model; `pairs` wants pairs.

    nearfar train sentence_ngrams --data sentences.jsonl
    nearfar train sentence_ngrams --data sentences.jsonl --set encoder.ngrams=1 --set encoder.dimension=600 --set objective.threshold=1e-5

Source: Pagliardini, Gupta and Jaggi 2017 (arXiv 1703.02507) and the authors' code as a brief of it tells: two-word spans, 10 drawn words, 4
spans dropped. They have 600 to 700 dimensions, threshold 1e-5 and nine passes of plain SGD from 0.2 to zero, a sentence at a time, over a billion
words; 256, 1e-3 and ten passes of AdamW at 0.05, linear to zero, in batches of 128 are ours, for ten thousand sentences: at a rate of 0.01
little is learned but which words are frequent.
Nothing is held out: no sentence is to find another.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use

CARD = Card(
    name="sentence_ngrams",
    summary="sentences without labels, on CPUs: means of word and n-gram vectors that foretell their words (Sent2Vec)",
    related=("word_in_sentence", "word_ngrams", "dropout_views", "pairs"),
    data=("texts",),
    papers=("1703.02507",),
    systems=("161",),
)

SMOKE = Smoke(
    "texts",
    {
        "encoder.dimension": 8,
        "encoder.buckets": 50,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "fit.learning_rate": 0.005,
        "objective.threshold": 100.0,
        "objective.drawn": 3,
    },
)

CLAIM = Claim(
    "a word learned from its whole sentence makes better sentence vectors than one learned from a few words around it, and spans of two words "
    "add to it",
    expect="sentences > windows, spans > sentences",
    arms={
        "spans": Arm(),
        "sentences": Arm(settings={"encoder.ngrams": 1}),
        "windows": Arm(
            settings={
                "encoder.ngrams": 1,
                "x.views": '[{"part": "word_crop", "options": {"least": 0.4, "most": 0.4}}]',
            }
        ),
    },
    data="stsb",
    measure=Use("sts_correlation"),
    margin=0.005,
    both={
        "encoder.dimension": 50,
        "encoder.buckets": 4000,
        "objective.drawn": 5,
        "fit.batch_size": 256,
        "fit.epochs": 4,
    },
    tune={"fit.learning_rate": (0.1, 0.2)},
    source="the abstract: better than other unsupervised models on most tasks; averages of word vectors of windows are among them (the tables "
    "were not seen)",
    scale="ten thousand sentences instead of tens of millions, 50 dimensions, 5 drawn words, four passes of AdamW; the window is a random span of two fifths "
    "of a sentence in each pass, some four words",
    reading="the whole sentence is better than words around, by a hundredth, surely above nothing and not surely "
    "above the margin. Spans of two words cost nine hundredths: ten thousand sentences show most pairs of "
    "words once, whose vectors stay where chance put them",
)


def recipe() -> Recipe:
    """One stream of sentences, and the one local term."""
    return Recipe(
        name="sentence_ngrams",
        encoder=Use("word_ngrams"),
        objective=Use("word_in_sentence"),
        stages=(Fit(batch_size=128, epochs=10, learning_rate=0.05, schedule="linear"),),
        held_out=0.0,
        data="texts",
        streams=(Feed("x", "text"),),
    )
