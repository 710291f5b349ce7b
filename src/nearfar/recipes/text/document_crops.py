"""Documents alone make a search: two random spans of one document find each other among spans of past ones (Contriever).

For a collection that nobody has asked anything yet. Of each document two spans are cut independently, 5 to 50 % long, so that they may
overlap, and each word goes with a chance of 0.1. One is the query, the other the key; keys come from a slowly following copy of the encoder, and those
of earlier steps are the negatives, thousands of them however small the batch. It is `momentum_contrast` for texts. Vectors are means of
tokens and are compared by products. `dropout_views` is for sentences and compares a text with itself; `fine_tune` goes on from here with
pairs of questions and documents. Cut long documents to pieces of some 256 tokens first.

    nearfar train document_crops --data documents.jsonl --set encoder.folder=bert-base-uncased
    nearfar train document_crops --data documents.jsonl --set encoder.part=static --set objective.similarity=cosine

Products of vectors that start at random are large, and at temperature 0.05 the loss explodes: say cosine for an encoder from scratch.

Source: Izacard et al. 2021 (arXiv 2112.09118) and the authors' scripts as a brief of it tells: spans, deletion, products, temperature
0.05, a rate of 5e-5. Theirs are a queue of 131,072 keys, a teacher that keeps 0.9995, batches of 2,048 and 500,000 steps with 20,000 of
warm-up; 16,384 keys, 0.999, 256 and three passes are ours, for one machine. Their queue starts with random vectors, this one empty. Their
key encoder keeps its dropout; a teacher here has none. They cut and delete tokens, here words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import train_and_measure
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.judged_retrieval import answers
from nearfar.probes.bm25 import Bm25
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval
from nearfar.views.text.word_crop import WordCrop

CARD = Card(
    name="document_crops",
    summary="documents without queries: two random spans of one find each other among spans of past ones (Contriever)",
    related=("momentum_contrast", "dropout_views", "word_crop", "queue", "judged_retrieval"),
    data=("texts",),
    papers=("2112.09118",),
    systems=("133",),
)

STATIC = {"encoder.part": "static", "encoder.dimension": 128}

SMOKE = Smoke(
    "texts",
    STATIC
    | {
        "encoder.dimension": 16,
        "encoder.buckets": 64,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "fit.learning_rate": 0.01,
        "fit.teacher": 0.9,
        "objective.similarity": "cosine",
    },
)

VIEWS = (Use("word_crop", {"least": 0.05, "most": 0.5}), Use("word_deletion", {"share": 0.1}))


def recipe() -> Recipe:
    """Two streams of spans of the same documents, the second through the teacher. Say `encoder.folder`."""
    return Recipe(
        name="document_crops",
        encoder=Use("pretrained"),
        objective=Contrast(
            rule="info_nce",
            relation="queued",
            similarity="dot",
            temperature=0.05,
            both_ways=False,
            keys=Use("queue", {"size": 16384}),
        ),
        stages=(Fit(batch_size=256, epochs=3, learning_rate=5e-5, schedule="linear", warmup=0.04, teacher=0.999),),
        data="texts",
        streams=(Feed("x", "text", views=VIEWS), Feed("y", "text", views=VIEWS, through="momentum")),
    )


class Rest(WordCrop):
    """What `word_crop` cuts off: of the same draws, the text without that span."""

    def _crop(self, words: list[str], each: list[float], whole: float) -> list[str]:
        span = super()._crop(words, each, whole)
        start = int(each[0] * (len(words) - len(span) + 1))
        return words[:start] + words[start + len(span) :] or words


def inverse_cloze() -> Recipe:
    """A span of a document finds the rest of it; all else alike."""
    ours = recipe()
    deleted = VIEWS[1]
    x, y = (replace(stream, look=0) for stream in ours.streams)
    return replace(ours, streams=(x, replace(y, views=(Rest(0.05, 0.5), deleted))), name="document_crops_inverse_cloze")


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> Outcome:
    """Recall at 100; with the option `lexical` that of BM25, which learns nothing."""
    if given.get("lexical"):
        queries, documents = dataset.part(split), dataset.part("documents")
        scores = Bm25().fit(list(documents.fields["text"])).scores(list(queries.fields["query"]))
        return retrieval(scores, answers(queries)).outcome(main="recall@100")
    return train_and_measure(recipe, dataset, seed, split, Use("judged_retrieval"))


CLAIM = Claim(
    "without a single query, two random spans of each document teach a search that finds more than BM25, and more than spans and the rest "
    "of their documents teach",
    expect="crops > bm25, crops > cloze",
    arms={"crops": Arm(), "cloze": Arm(inverse_cloze), "bm25": Arm(options={"lexical": True})},
    data="cranfield",
    trial=trial,
    metric="recall@100",
    margin=0.01,
    both={
        **STATIC,
        "objective.similarity": "cosine",
        "objective.keys.size": 512,
        "fit.batch_size": 64,
        "fit.epochs": 6,
        "fit.teacher": 0.99,
    },
    tune={"fit.learning_rate": (1e-3, 5e-3), "objective.temperature": (0.05, 0.1)},
    source="the abstract: recall at 100 above that of BM25 on 11 of the 15 sets of BEIR",
    scale="a bag of words and trigrams of 128 dimensions that starts at random instead of BERT, 1,398 abstracts instead of two large "
    "collections, a queue of 512, cosines; the collection that is learned from is the one that is searched",
    reading="BM25 stays ahead of both: here the encoder is static and begins from nothing, on a thousand abstracts; "
    "the paper's is pretrained. A span against the rest of its document teaches it more than two spans do, "
    "against the paper",
)
