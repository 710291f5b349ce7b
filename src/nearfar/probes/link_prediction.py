"""Link prediction: does a model know which links a graph has? Two usual ways to ask.

`link_prediction` hides one end of a link (head, relation, tail) and ranks all entities in its place. Other entities that make a known
link are no errors and leave the ranking: the "filtered" setting of Bordes et al., "Translating embeddings for modeling
multi-relational data", 2013. Ties count as the mean over their orders; where a tied right answer counts as the first, a model that
gives all links one score looks perfect (Sun et al., "A re-evaluation of knowledge graph completion methods", ACL 2020).
`edge_prediction` tells links that exist from links that do not by one score each, as is usual for graphs without relations.

Kin: `retrieval`, of which the first is the case of known answers excluded; `pair_classification`, to which the second is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.rank_correlation import average_ranks
from nearfar.maths.threshold_metrics import auroc as area
from nearfar.maths.threshold_metrics import average_precision
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.retrieval import Retrieval, retrieval
from nearfar.probes.scores import Scorer
from nearfar.probes.shared.inputs import pair_scores

CARD = Card(
    name="link_prediction",
    summary="both ends of hidden links ranked among all entities, filtered: MRR, hits@k; edges against non-edges: AUROC, AP",
    related=("retrieval", "next_item", "pair_classification", "outcome"),
    public=("link_prediction", "edge_prediction"),
)


def auroc(columns: Columns) -> float:
    """The area under the ROC curve."""
    return area(columns["rank"], columns["edge"])


def ap(columns: Columns) -> float:
    """Average precision."""
    return average_precision(columns["rank"], columns["edge"])


METRICS = {"auroc": auroc, "ap": ap}


def link_prediction(
    links: Any,
    *,
    tails: Scorer | Any,
    heads: Scorer | Any = None,
    known: Any = None,
    at: Sequence[int] = (1, 3, 10),
    names: Sequence[str] = (),
) -> Outcome:
    """Rank all entities as the tail of each link, and as its head.

    links  [n 3] numbers of head, relation and tail; or [n 2] head and tail, where there is one kind of link
    tails  what each entity scores as the tail of each link, [n entities], higher is better: a matrix, a pair of vector tables
           (what head and relation ask for [n d], entities [entities d]) compared by cosine, or a scorer
    heads  the same for each entity as the head; None: only tails are ranked
    known  [m 3] or [m 2], all links known to be true (of training, dev and test), which a ranking leaves out unless it is the
           link that is asked for. None: none are, the "raw" setting
    at     the k of hit@k

    Metrics: mrr (the main one) and hit@k, for each link the mean of its two rankings; with heads also tail_mrr and head_mrr.

    >>> found = link_prediction([[0, 0, 1]], tails=[[0.1, 0.5, 0.9]], heads=[[0.9, 0.1, 0.2]], known=[[0, 0, 2]], at=(1,))
    >>> found.figures()                            # entity 2, which scores above 1 as the tail, is a known answer
    {'mrr': 1.0, 'hit@1': 1.0, 'tail_mrr': 1.0, 'head_mrr': 1.0}

    Raises UsageError for links of other shapes and for numbers of links that differ, DataError for NaN and unknown entities.
    """
    asked = _links(links, "links")
    others = None if known is None else _links(known, "known", asked.shape[1])
    sides = {"tail": _ranked(asked, tails, others, -1)}
    if heads is not None:
        sides["head"] = _ranked(asked, heads, others, 0)
    columns = {
        name: np.mean([found.values(name) for found in sides.values()], axis=0)
        for name in ["mrr", *(f"hit@{k}" for k in at)]
    }
    if heads is not None:
        columns |= {f"{side}_mrr": found.reciprocal_ranks for side, found in sides.items()}
    facts = {"entities": sides["tail"].documents, "filtered": known is not None}
    return Outcome("link_prediction", "mrr", "links", columns, means=tuple(columns), names=names, facts=facts)


def edge_prediction(edges: Any, non_edges: Any) -> Outcome:
    """Tell links that exist from links that do not.

    edges      [n] scores of links that exist, higher is likelier; or two tables of vectors ([n d], [n d]), whose rows are compared by cosine
    non_edges  [m] the same of links that do not

    Metrics: auroc (the main one), ap. Columns: `score`, `rank`, `edge` (0 or 1).

    >>> edge_prediction([0.9, 0.4], [0.5, 0.1]).figures()
    {'auroc': 0.75, 'ap': 0.8333333333333333}

    Raises UsageError for other shapes or nothing at all, DataError for NaN.
    """
    positive, negative = pair_scores(edges, "edges"), pair_scores(non_edges, "non_edges")
    score = np.concatenate([positive, negative])
    columns = {
        "score": score,
        "rank": average_ranks(score),
        "edge": np.repeat([1, 0], [len(positive), len(negative)]),
    }
    return Outcome("link_prediction", "auroc", "links", columns, metrics=METRICS, swapped=("score", "rank"))


def _links(table: Any, where: str, width: int = -1) -> NDArray[np.int64]:
    made = np.asarray(table)
    if made.ndim != 2 or made.shape[1] not in ((2, 3) if width < 0 else (width,)) or made.dtype.kind not in "iu":
        raise UsageError(
            f"links are whole numbers [n {'2 or 3' if width < 0 else width}], not {made.dtype} of shape {list(made.shape)}",
            where=where,
            remedy="give head, relation and tail of each, or head and tail",
        )
    if not len(made) or made.min() < 0:
        raise DataError("there are no links, or numbers below 0", where=where, remedy="number entities from 0")
    return made.astype(np.int64)


def _ranked(asked: NDArray[np.int64], scores: Any, known: NDArray[np.int64] | None, end: int) -> Retrieval:
    """The entity at one end (0 or -1) of each link, among all entities but those that make a known link there."""
    if known is None:
        return retrieval(scores, asked[:, end])
    rest = slice(1, None) if end == 0 else slice(None, -1)
    answers: dict[tuple[int, ...], set[int]] = {}
    for link in known.tolist():
        answers.setdefault(tuple(link[rest]), set()).add(link[end])
    excluded = [sorted(answers.get(tuple(link[rest]), ())) for link in asked.tolist()]
    return retrieval(scores, asked[:, end], excluded=excluded)
