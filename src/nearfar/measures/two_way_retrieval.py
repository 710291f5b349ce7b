"""Whether two fields of a record find each other among all of the part, each way: pictures their captions, and captions their pictures.

Records with equal texts are right answers to each other, both ways. A unit is a query, so every record counts twice. Kin:
`pair_retrieval` asks one way; the probe is `retrieval`.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded, partners
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval

CARD = Card(
    name="two_way_retrieval",
    summary="reciprocal rank of each record's other field among all, both ways",
    related=("retrieval", "pair_retrieval"),
)

FIGURES = ("mrr", "recall@1", "recall@5", "recall@10")


def two_way_retrieval(model: Model, dataset: Dataset, split: str, *, first: str, second: str) -> Outcome:
    """The fields by name; equal texts are told by a column of the second field's name."""
    part = dataset.part(split)
    one, other = encoded(model, part, first), encoded(model, part, second)
    right = partners(part, second)
    ways = {first: retrieval((one, other), right), second: retrieval((other, one), right)}
    return Outcome(
        "two_way_retrieval",
        "mrr",
        "queries",
        {figure: np.concatenate([way.values(figure) for way in ways.values()]) for figure in FIGURES},
        means=FIGURES,
        names=[f"{field} {i}" for field in ways for i in range(len(part))],
        facts={"documents": len(part)},
    )
