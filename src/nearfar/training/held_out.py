"""What held-out records say of a model: does each query find its document, each record its counterpart?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from nearfar.core.memory import joined
from nearfar.core.model import Model
from nearfar.core.rows import Rows
from nearfar.data.order import Order
from nearfar.data.pair_table import PairTable
from nearfar.data.records import Records
from nearfar.execution.micro_batches import take
from nearfar.maths.pooling import mean
from nearfar.maths.similarity import late_interaction
from nearfar.probes.retrieval import Retrieval, retrieval
from nearfar.probes.scores import Scorer, vector_scores
from nearfar.probes.statistics import bootstrap
from nearfar.training.batches import Batches, Source
from nearfar.training.prepare import Prepared
from nearfar.training.state import State
from nearfar.training.unusable import HELD_OUT

MOST = 2048  # held-out records that are measured during a training; all of them at its end
AT_ONCE = 64  # records embedded at once, of like cost


def candidates(queries: Sequence[str], documents: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
    """The distinct documents of some pairs, and for each of the distinct queries the rows of its right ones."""
    place: dict[str, int] = {}
    right: dict[str, set[int]] = {}
    for query, document in zip(queries, documents, strict=True):
        right.setdefault(query, set()).add(place.setdefault(document, len(place)))
    return list(place), [np.array(sorted(rows)) for rows in right.values()]


def measure(model: Model, table: PairTable | Records) -> Retrieval:
    """Per-query ranks of the right documents among all distinct documents of the pairs."""
    if isinstance(table, Records):
        numbers = range(len(table))
        table = PairTable(table.many("query", numbers), table.many("document", numbers), [[] for _ in numbers])
    documents, relevant = candidates(table.queries, table.documents)
    queries = list(dict.fromkeys(table.queries))
    if model.similarity == "late_interaction":
        return retrieval(
            late_scores(
                _padded(model.encode_tokens(queries, side="query")),
                _padded(model.encode_tokens(documents, side="document")),
            ),
            relevant,
        )
    x, y = model.encode(queries, side="query"), model.encode(documents, side="document")
    return retrieval(vector_scores(x, y, cosine=model.similarity == "cosine"), relevant)


def late_scores(queries: Rows, documents: Rows) -> Scorer:
    """The scorer of two tables of token matrices: of each query token the best document token, summed."""

    def scores(some: slice) -> torch.Tensor:
        # A few queries at a time: all pairs of tokens of a tile are held at once.
        chosen = queries.take(some)
        parts = [late_interaction(chosen.take(slice(i, i + 1)), documents) for i in range(len(chosen))]
        return cast("torch.Tensor", torch.cat(cast("list[torch.Tensor]", parts)))

    return scores


def _padded(matrices: Sequence[np.ndarray]) -> Rows:
    lengths = torch.tensor([len(matrix) for matrix in matrices])
    vectors = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(matrix) for matrix in matrices], batch_first=True)
    return Rows(vectors, mask=torch.arange(vectors.shape[1]) < lengths[:, None])


def summary(result: Retrieval) -> dict[str, Any]:
    """Means with 95 % intervals, as JSON."""
    out: dict[str, Any] = {"queries": len(result)}
    for name, values in (("mrr", result.reciprocal_ranks), ("recall@10", result.recalls(10))):
        interval = bootstrap(values)
        out[name] = {"mean": float(interval.mean), "low": float(interval.low), "high": float(interval.high)}
    return out


def held_out_figures(prepared: Prepared, held_out: Records, most: int = MOST) -> dict[str, float]:
    """Figures for early stopping, the first of which counts: more is better. A pure function of weights and records."""
    found = counterparts(prepared, held_out.take(np.arange(min(most, len(held_out)))))
    return {"mrr": float(np.mean(found.reciprocal_ranks)), "recall@10": float(np.mean(found.recalls(10)))}


def leave_out_unusable(state: State, batches: Batches) -> None:
    """Found now, held-out records that cannot be used do not end the training when they are measured."""
    held_out, seed = state.held_out, batches.seed
    if held_out is None or not len(held_out) or state.bad.on_bad != "skip":
        return
    order = Order(len(held_out), len(held_out), seed)
    every = Batches(held_out, batches.sources, order, seed=seed, workers=0, bad=state.bad)
    found = every.usable(np.arange(len(held_out)), epoch=-1)[1]
    every.unusable = batches.unusable
    every.unusable.total += len(held_out)
    every.tell(found, HELD_OUT)
    if found:
        state.held_out = held_out.take(np.setdiff1d(np.arange(len(held_out)), list(found)))


def counterparts(prepared: Prepared, records: Records) -> Retrieval:
    """Whether each record is found by its other look: rows of the first stream (heads left out) among those of the second.

    Equal texts of different records count as right answers.
    """
    x, y, ids = _two_looks(prepared, records)
    relevant = [np.array([i]) for i in range(len(records))] if ids is None else _equal(ids)
    if x.vectors.ndim == 3:
        return retrieval(late_scores(x, y), relevant)
    return retrieval(vector_scores(x.vectors.numpy(), y.vectors.numpy(), cosine=True), relevant)


def two_looks(prepared: Prepared, records: Records) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vectors [n d] of two looks at each record, and ids [n] of the texts that the second look sees, where there are any.

    Views are drawn as in an epoch before the first, so that every measurement sees the same ones. A recipe of one stream with
    copies is measured between its first two copies. Of token matrices the mean is taken.
    """
    x, y, ids = _two_looks(prepared, records)
    return single(x).numpy(), single(y).numpy(), ids


@torch.no_grad()
def _two_looks(prepared: Prepared, records: Records) -> tuple[Rows, Rows, np.ndarray | None]:
    first, second, copied = _two_streams(prepared.batches.sources)
    batches = Batches(
        records,
        [first] if copied else [first, second],
        Order(len(records), len(records), prepared.batches.seed),
        seed=prepared.batches.seed,
        workers=0,
    )
    index = np.arange(len(records))
    x, columns = _embedded(first, batches, index)
    y, _ = _embedded(second, batches, index)
    if copied:
        x, y = x.take(slice(len(index))), y.take(slice(len(index), 2 * len(index)))
    ids = columns.get(second.feed.field)
    n = len(index)
    return x.take(slice(n)), y.take(slice(n)), None if ids is None else ids[:n].numpy()


def _two_streams(sources: Sequence[Source]) -> tuple[Source, Source, bool]:
    online = [s for s in sources if s.feed.through in ("online", "momentum")]
    for source in online:
        if source.feed.copies > 1:
            return source, source, True
    return online[0], online[-1], False


def _embedded(source: Source, batches: Batches, index: np.ndarray) -> tuple[Rows, dict[str, torch.Tensor]]:
    """Unit vectors of all rows of a stream without its head, and their columns."""
    seen, columns = batches.inputs(source, index, epoch=-1)
    path = source.path
    training, head = path.training, path.head
    path.eval()
    path.head = None
    try:
        order = torch.argsort(path.cost(seen), descending=True, stable=True)
        made = [path(take(seen, some)) for some in order.split(AT_ONCE)]
    finally:
        path.head = head
        path.train(training)
    # Without the columns of the encoder, which may differ in shape from batch to batch.
    together = joined(
        [Rows(F.normalize(table.vectors.float(), dim=-1).cpu(), mask=_on_cpu(table.mask)) for table in made]
    )
    return together.take(torch.argsort(order)), columns


def _on_cpu(mask: torch.Tensor | None) -> torch.Tensor | None:
    return None if mask is None else mask.cpu()


def single(table: Rows) -> torch.Tensor:
    """Unit vectors [n d]: of token matrices the mean of the real ones."""
    if table.vectors.ndim == 2:
        return table.vectors
    mask = torch.ones(table.vectors.shape[:2], dtype=torch.bool) if table.mask is None else table.mask.bool()
    return F.normalize(mean(table.vectors, mask), dim=-1)


def _equal(ids: np.ndarray) -> list[np.ndarray]:
    """For each entry, the places of all that equal it."""
    order = np.argsort(ids, kind="stable")
    _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    starts = np.cumsum([0, *counts])
    return [order[starts[i] : starts[i + 1]] for i in inverse]
