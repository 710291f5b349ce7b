"""Whether each query finds its document among all of the part: reciprocal rank, recall, by ranks only.

Equal texts are one document. Kin: `two_way_retrieval` asks both ways, `sts_correlation` for degrees; the probe is `retrieval`.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded, partners
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval

CARD = Card(
    name="pair_retrieval",
    summary="reciprocal rank of each query's own document among all",
    related=("retrieval", "two_way_retrieval", "sts_correlation"),
)


def pair_retrieval(
    model: Model, dataset: Dataset, split: str, *, query: str = "query", document: str = "document"
) -> Outcome:
    """Row i of the two fields belongs together, and so do rows of equal ids where the document has a column of them."""
    part = dataset.part(split)
    return retrieval((encoded(model, part, query), encoded(model, part, document)), partners(part, document)).outcome()
