"""The loss of a term or of a whole objective on given rows, by whichever way of running fits the memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch.nn import functional

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.core.terms import Term, Terms
from nearfar.execution.memory import units_per_tile
from nearfar.execution.plain import run_plain
from nearfar.execution.sweep import sweeps
from nearfar.execution.tiled import run_tiled
from nearfar.objectives.composed import Aligned, Objective, stream
from nearfar.objectives.scored import Scored

Tiling = int | Literal["auto"] | None


def evaluate(term: Scored, queries: Rows, keys: Rows, tile: Tiling = "auto") -> Terms:
    """Sums and counts of one contrastive term.

    `tile` is the number of rows (records) a tile, "auto" to fit the memory, or None for one plain graph. All give the same
    loss and gradient.
    """
    terms = Terms()
    directions = sweeps(term, queries, keys)
    for sweep in directions:
        fitting = units_per_tile(
            len(sweep.columns),
            sweep.units.widest,
            sweep.rows.vectors.element_size() * _depth(sweep.rows, sweep.columns),
        )
        size = fitting if tile == "auto" else tile
        whole = size is None or (tile == "auto" and size >= len(sweep.units))
        result = run_plain(sweep) if whole or size is None else run_tiled(sweep, size)
        name = "" if len(directions) == 1 else ("backward" if sweep.backwards else "forward")
        terms = terms + Terms({name: result}).scaled(1 / len(directions))
    return terms


def _depth(rows: Rows, columns: Rows) -> int:
    """Token pairs behind one score: late interaction holds them all."""
    depth = rows.vectors.shape[1] if rows.vectors.ndim == 3 else 1
    return depth * (columns.vectors.shape[1] if columns.vectors.ndim == 3 else 1)


def evaluate_objective(
    objective: Objective, streams: Mapping[str, Rows], *, step: int = 0, tile: Tiling = "auto"
) -> Terms:
    """Sums and counts of every term that sees the global batch; its `.loss` is what is optimised."""
    terms = Terms()
    for name, term in objective.on_rows().items():
        if isinstance(term, Scored):
            queries = stream(streams, term.queries_from)
            part = evaluate(term, queries, queries if term.keys_from is None else stream(streams, term.keys_from), tile)
        elif isinstance(term, Aligned):
            part = Terms({"": _aligned(term, stream(streams, term.queries_from), stream(streams, term.keys_from))})
        else:
            value = term.function(*[stream(streams, s) for s in term.streams])
            part = Terms({"": Term(value, torch.ones_like(value))})
        terms = terms + part.scaled(objective.weight(name, step)).named(name)
    return terms


def evaluate_local(objective: Objective, outputs: Any, *, step: int = 0) -> Terms:
    """Sums and counts of the local terms on one micro-batch. Terms of several micro-batches add up to those of the batch."""
    terms = Terms()
    for name, term in objective.local().items():
        total, count = term.function(outputs)
        terms = terms + Terms({name: Term(total, count.detach().to(total.dtype))}).scaled(objective.weight(name, step))
    return terms


def _aligned(term: Aligned, queries: Rows, keys: Rows) -> Term:
    if term.target not in queries.columns:
        raise UsageError(f"the queries have no column {term.target!r}", remedy=f"nf.rows(vectors, {term.target}=...)")
    score = term.similarity or functional.cosine_similarity
    loss = term.loss(score(queries.vectors, keys.vectors), queries.columns[term.target])
    return Term(loss.sum(), loss.new_tensor(len(loss)))
