"""Whether the documents that people judged to answer a query are found among all: recall at 100, nDCG at 10, by ranks only.

A record of the part is a query (field `query`) with columns `relevant` [n k], places in the data set's part `documents` (-1: no more),
and `gain` [n k]. Both go through the model's side that reads the field, or through its only one. Kin: `pair_retrieval` has one right
document a query, in the same part; the probe is `retrieval`.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.measures.shared import encoded
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval

CARD = Card(
    name="judged_retrieval",
    summary="recall of the documents that people judged relevant, among all of a collection",
    related=("retrieval", "pair_retrieval"),
)


def judged_retrieval(model: Model, dataset: Dataset, split: str) -> Outcome:
    """By the model's own similarity: cosine, or the dot product where it was trained for that."""
    queries, documents = (
        encoded(model, dataset.part(name), field) for name, field in ((split, "query"), ("documents", "text"))
    )
    scores = queries @ documents.T if model.similarity == "dot" else (queries, documents)
    return retrieval(scores, answers(dataset.part(split))).outcome(main="recall@100")


def answers(part: Records) -> list[dict[int, float]]:
    """For each query the places of its documents and what they are worth."""
    places, gains = part.columns["relevant"], part.columns["gain"]
    return [
        {int(k): float(v) for k, v in zip(row[row >= 0], gain[row >= 0], strict=True)}
        for row, gain in zip(places, np.asarray(gains), strict=True)
    ]
