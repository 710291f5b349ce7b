"""Whether the cosine of two sentences orders pairs as people do: Spearman's correlation with their judgements.

A record of the part is a pair: fields `first` and `second`, column `score`. Kin: `pair_retrieval` asks for the one right partner among
all; the probe is `sts`.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.outcome import Outcome
from nearfar.probes.sts import sts

CARD = Card(
    name="sts_correlation",
    summary="rank correlation of cosines with graded similarity",
    related=("sts", "pair_retrieval"),
)


def sts_correlation(
    model: Model, dataset: Dataset, split: str, *, first: str = "first", second: str = "second", score: str = "score"
) -> Outcome:
    """Cosines of the two fields against the column of judgements."""
    part = dataset.part(split)
    return sts((encoded(model, part, first) * encoded(model, part, second)).sum(1), part.columns[score])
