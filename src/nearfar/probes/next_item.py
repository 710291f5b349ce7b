"""Next item: the item that really came next, ranked among all items for each sequence - never among a sample of them.

        HR@k = share of sequences whose next item is among the best k;  NDCG@k = 1 / log2(1 + rank) if among them, else 0

Rankings against sampled negatives order systems wrongly (Krichene and Rendle, "On sampled metrics for item recommendation", KDD 2020),
so there are none here. Kin: `retrieval`, of which this is the case of one relevant document and of candidates that are already known;
`link_prediction` ranks all entities for both ends of a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import retrieval
from nearfar.probes.scores import Scorer

CARD = Card(
    name="next_item",
    summary="the next item of each sequence ranked among all items: hit rate, NDCG, MRR",
    related=("retrieval", "link_prediction", "outcome"),
)


def next_item(
    scores: Scorer | Any, target: Any, *, seen: Any = None, at: Sequence[int] = (5, 10, 20), names: Sequence[str] = ()
) -> Outcome:
    """Rank all items for each of n sequences.

    scores  [n items], higher is more likely next; or a pair (states [n d], items [items d]) of vector tables, compared by cosine;
            or a scorer, such as `vector_scores(states, items, cosine=False)` for the plain product
    target  [n] number of the item that came next
    seen    for each sequence the items that cannot come again and are left out of its ranking; the target itself always stays.
            None: all items are ranked, right where items repeat
    at      the k of hit@k and ndcg@k
    names   of the sequences

    Metrics: ndcg@k of the second k given (of the first, if it is alone; the main one), hit@k, ndcg@k, mrr. Ties count as the
    mean over their orders.

    >>> next_item([[0.9, 0.5, 0.1], [0.2, 0.3, 0.9]], [1, 0], seen=[[0], []], at=(1, 2)).figures()
    {'ndcg@2': 0.5, 'mrr': 0.6666666666666666, 'hit@1': 0.5, 'hit@2': 0.5, 'ndcg@1': 0.5}

    Raises UsageError for a target that is no vector of item numbers and for lengths that differ, DataError for NaN and numbers that
    are no items.
    """
    items = np.asarray(target)
    if items.ndim != 1 or items.dtype.kind not in "iu" or not len(items) or items.min() < 0 or not len(at):
        raise UsageError(
            f"the next items are numbers [n] from 0, not {items.dtype} of shape {list(items.shape)}"
            + (f", the least {items.min()}" if items.size and items.dtype.kind in "if" else ""),
            where="target",
            remedy="give one item a sequence, and leave out sequences without one; give one k or more",
        )
    found = retrieval(scores, items, excluded=seen)
    main = f"ndcg@{at[min(1, len(at) - 1)]}"
    means = list(dict.fromkeys([main, "mrr", *(f"hit@{k}" for k in at), *(f"ndcg@{k}" for k in at)]))
    return Outcome(
        "next_item",
        main,
        "sequences",
        {name: found.values(name) for name in means},
        means=tuple(means),
        names=names,
        facts={"items": found.documents, "seen_left_out": seen is not None},
    )
