"""Whether the item that came next ranks high among all items that the sequence does not hold yet: NDCG and hit rate.

Scores are products of a sequence's vector with the encoder's own table of items. Kin: the probe is `next_item`; `pair_retrieval`
ranks documents.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.next_item import next_item
from nearfar.probes.outcome import Outcome
from nearfar.probes.scores import vector_scores

CARD = Card(
    name="next_item_ranking",
    summary="the next item ranked among all that a sequence does not hold yet",
    related=("next_item", "pair_retrieval"),
)


def next_item_ranking(
    model: Model, dataset: Dataset, split: str, *, field: str = "items", column: str = "next"
) -> Outcome:
    """Sequences of a field and the column of what came next; an item that came before and comes again stays in the ranking.

    Raises UsageError for a model without a table of items.
    """
    part = dataset.part(split)
    tower = model.tower(field if field in model.sides else next(iter(model.sides)))
    if not hasattr(tower, "items"):
        raise UsageError(
            f"the encoder {type(tower).__name__} has no table of items",
            where="measure",
            remedy="measure one for sequences of items: self_attention, gru",
        )
    items = tower.items.weight[: tower.setup.items].detach().float()
    seen = [np.unique(np.asarray(history)) - 1 for history in part.many(field, range(len(part)))]
    scores = vector_scores(encoded(model, part, field), items.cpu().numpy(), cosine=False)
    return next_item(scores, part.columns[column] - 1, seen=seen)
