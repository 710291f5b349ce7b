"""Bitext mining: find the sentences of two languages (or the texts of any two collections) that say the same.

        margin(x, y) = cos(x, y) / ( sum over the k nearest z of x of cos(x, z) / 2k  +  sum over the k nearest z of y of cos(y, z) / 2k )

A sentence that is near everything has a high cosine with everything; its neighbours' mean takes that away. Each sentence proposes,
of its k nearest, the one of greatest margin, in both directions; proposals are taken from the best down, each sentence once; those
above a threshold are mined. Artetxe and Schwenk, "Margin-based parallel corpus mining with multilingual sentence embeddings", ACL
2019 (arXiv 1811.01136): ratio margin, "max" retrieval, k = 4. The threshold is the one with the best F1 on dev pairs; one that is
chosen on the measured pairs flatters. A mean of neighbours' cosines below 0.01, which no pair of real collections has, counts as 0.01.

Kin: `retrieval` ranks all documents for each query; `pair_classification` judges pairs that are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import at_least, unit_float32, vector_table

CARD = Card(
    name="bitext_mining",
    summary="sentences of two languages that say the same, found by margin: accuracy both ways, F1 at a threshold from dev",
    related=("retrieval", "pair_classification", "outcome"),
    papers=("1811.01136",),
)

LEAST = 0.01


def accuracy(columns: Columns) -> float:
    """The mean of both directions."""
    return (accuracy_forward(columns) + accuracy_backward(columns)) / 2


def accuracy_forward(columns: Columns) -> float:
    """The share of pairs whose first sentence proposes its partner."""
    return _share(columns["forward"], columns["pairs"])


def accuracy_backward(columns: Columns) -> float:
    """The share of pairs whose second sentence proposes its partner."""
    return _share(columns["backward"], columns["pairs"])


def precision(columns: Columns) -> float:
    """The share of mined pairs that are right; 0 where none is mined."""
    return _share(columns["right"], columns["mined"])


def recall(columns: Columns) -> float:
    """The share of pairs that are mined."""
    return _share(columns["right"], columns["pairs"])


def f1(columns: Columns) -> float:
    """The harmonic mean of precision and recall."""
    return _share(2 * columns["right"], columns["mined"] + columns["pairs"])


METRICS = {
    "accuracy": accuracy,
    "accuracy_forward": accuracy_forward,
    "accuracy_backward": accuracy_backward,
    "f1": f1,
    "precision": precision,
    "recall": recall,
}


def bitext_mining(
    source: Any,
    target: Any,
    pairs: Any,
    *,
    dev: tuple[Any, Any, Any] | None = None,
    k: int = 4,
    names: Sequence[str] = (),
) -> Outcome:
    """Mine the pairs of two tables of vectors.

    source  [n d] vectors of the first collection
    target  [m d] vectors of the second
    pairs   [p 2] row in `source` and row in `target` of each pair that belongs together; other rows have no partner
    dev     source, target and pairs of other sentences, from which the threshold for mining is chosen
    k       neighbours that the margin looks at
    names   of the source's sentences

    Metrics: with dev f1 (the main one), precision and recall of what is mined; accuracy (else the main one), accuracy_forward and
    accuracy_backward: shares of the pairs whose sentence proposes its partner, no threshold needed. Units are source sentences;
    the columns count, for each, its pairs, those proposed right from it (`forward`) and to it (`backward`), and what is mined.

    >>> x = np.eye(3)
    >>> bitext_mining(x, x[[1, 0, 2]], [[0, 1], [1, 0]], k=1).figures()
    {'accuracy': 1.0, 'accuracy_forward': 1.0, 'accuracy_backward': 1.0}

    Raises UsageError for shapes that do not fit and k below 1, DataError for NaN, no pairs and rows that are not there.
    """
    gold, proposed, columns = _measured(source, target, pairs, k, "")
    columns["mined"], columns["right"] = np.zeros(len(columns["pairs"])), np.zeros(len(columns["pairs"]))
    chosen = {name: METRICS[name] for name in ("accuracy", "accuracy_forward", "accuracy_backward")}
    facts: dict[str, Any] = {"k": k, "targets": len(target)}
    if dev is None:
        return Outcome(
            "bitext_mining",
            "accuracy",
            "sentences",
            {name: columns[name] for name in ("pairs", "forward", "backward")},
            metrics=chosen,
            swapped=("forward", "backward"),
            names=names,
            facts=facts,
        )
    dev_gold, dev_proposed, _ = _measured(*dev, k, "dev ")
    threshold = _best_threshold(dev_proposed, dev_gold)
    mined = proposed.margin >= threshold
    right = mined & _member(proposed, gold)
    columns["mined"] = np.bincount(proposed.source[mined], minlength=len(source))
    columns["right"] = np.bincount(proposed.source[right], minlength=len(source))
    return Outcome(
        "bitext_mining",
        "f1",
        "sentences",
        columns,
        metrics=METRICS,
        swapped=("forward", "backward", "mined", "right"),
        names=names,
        facts=facts | {"threshold": threshold, "dev_pairs": len(dev_gold)},
    )


class _Proposals(NamedTuple):
    """Pairs of rows, each row at most once, with their margins, the best first."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    margin: NDArray[np.float64]


def _measured(
    source: Any, target: Any, pairs: Any, k: int, of: str
) -> tuple[NDArray[np.int64], _Proposals, dict[str, NDArray[Any]]]:
    """The pairs that belong together, those that are proposed, and what each source sentence got right."""
    x = vector_table(source, f"{of}source")
    y = vector_table(target, f"{of}target", width=x.shape[1])
    gold = _pairs(pairs, len(x), len(y), f"{of}pairs")
    at_least(k, 1, 2**31, "k", "neighbours")
    best_target, forward, best_source, backward = _best(unit_float32(x), unit_float32(y), k)
    there, back = (np.zeros(len(x)) for _ in range(2))
    # of several partners it is enough to propose one
    partners: dict[int, set[int]] = {}
    origins: dict[int, set[int]] = {}
    for i, j in gold.tolist():
        partners.setdefault(i, set()).add(j)
        origins.setdefault(j, set()).add(i)
    for i, j in gold.tolist():
        there[i] += int(best_target[i]) in partners[i]
        back[i] += int(best_source[j]) in origins[j]
    columns = {"pairs": np.bincount(gold[:, 0], minlength=len(x)), "forward": there, "backward": back}
    return gold, _once_each(best_target, forward, best_source, backward), columns


def _best(
    x: NDArray[np.float32], y: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """For every row of x the row of y of greatest margin among its k nearest, and that margin; and the same for y."""
    near_x, cosine_x = nearest_chunked(x, y, k)
    near_y, cosine_y = nearest_chunked(y, x, k)
    mean_x, mean_y = (c.astype(np.float64).mean(1) for c in (cosine_x, cosine_y))
    made = []
    for near, cosine, own, others in ((near_x, cosine_x, mean_x, mean_y), (near_y, cosine_y, mean_y, mean_x)):
        margin = cosine / np.maximum((own[:, None] + others[near]) / 2, LEAST)
        best = margin.argmax(1)[:, None]
        made += [np.take_along_axis(near, best, 1)[:, 0], np.take_along_axis(margin, best, 1)[:, 0]]
    return tuple(made)


def _once_each(
    best_target: NDArray[np.int64],
    forward: NDArray[np.float64],
    best_source: NDArray[np.int64],
    backward: NDArray[np.float64],
) -> _Proposals:
    """The proposals of both directions from the best down, each sentence once."""
    source = np.concatenate([np.arange(len(best_target)), best_source])
    target = np.concatenate([best_target, np.arange(len(best_source))])
    margin = np.concatenate([forward, backward])
    taken_source, taken_target = np.zeros(len(best_target), dtype=bool), np.zeros(len(best_source), dtype=bool)
    kept = []
    for number in np.argsort(-margin, kind="stable"):
        if not (taken_source[source[number]] or taken_target[target[number]]):
            taken_source[source[number]] = taken_target[target[number]] = True
            kept.append(number)
    return _Proposals(source[kept], target[kept], margin[kept])


def _best_threshold(proposed: _Proposals, gold: NDArray[np.int64]) -> float:
    """The margin from which on pairs are mined for the best F1, midway to the next lower one; the higher of equally good ones."""
    right = np.cumsum(_member(proposed, gold))
    last = np.append(proposed.margin[1:] != proposed.margin[:-1], True)  # equal margins are mined together
    scores = np.where(last, 2 * right / (np.arange(1, len(right) + 1) + len(gold)), -1)
    best = int(scores.argmax())
    return float(proposed.margin[best : best + 2].mean())


def _member(proposed: _Proposals, gold: NDArray[np.int64]) -> NDArray[np.bool_]:
    width = 1 + max(gold[:, 1].max(), proposed.target.max(initial=0))
    return np.isin(proposed.source * width + proposed.target, gold[:, 0] * width + gold[:, 1])


def _pairs(pairs: Any, sources: int, targets: int, where: str) -> NDArray[np.int64]:
    made = np.asarray(pairs)
    if made.ndim != 2 or made.shape[1] != 2 or made.dtype.kind not in "iu":
        raise UsageError(
            f"pairs are whole numbers [p 2], not {made.dtype} of shape {list(made.shape)}",
            where=where,
            remedy="give the row in source and the row in target of each pair",
        )
    outside = np.flatnonzero((made < 0).any(1) | (made >= [sources, targets]).any(1))
    if not len(made) or len(outside):
        what = f"pair {outside[0]} is {made[outside[0]].tolist()}" if len(made) else "there are no pairs"
        raise DataError(
            f"{what}, with {sources} sources and {targets} targets", where=where, remedy="number rows from 0"
        )
    return np.unique(made.astype(np.int64), axis=0)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> float:
    total = whole.sum()
    return float(part.sum() / total) if total else 0.0
