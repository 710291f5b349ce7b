"""`update_state`: what an objective remembers moves here, once a step, after the optimiser - never in a forward pass.

A forward pass may run twice (micro-batches), in tiles, or not at all on some rank; state that moved there would make the second
pass see another loss than the first. Here every rank gives every queue, table and counter the same rows of the global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

from nearfar.core.card import Card
from nearfar.core.rows import Rows
from nearfar.execution.ranks import Ranks, chosen
from nearfar.objectives.composed import Objective, OnRows, stream
from nearfar.objectives.scored import Scored

CARD = Card(
    name="update",
    summary="move the state of an objective once a step: queues, tables of temperatures, counters of chance",
    related=("queue", "individual_temperatures", "micro_batched"),
    public=("update_state",),
)


@torch.no_grad()
def update_state(
    objective: Objective | Scored, rows: Mapping[str, Rows], *, ranks: Ranks | Literal["auto"] | None = "auto"
) -> None:
    """Call `update` of every module that the terms hold, each once, with the rows of all ranks.

    `rows` are the step's tables by stream, as they came from the encoders (`nf.backward(...).rows`). Stages of keys get the
    term's keys, through its head where it has one; heads, what owns a rule (a table of temperatures), and the state of a function
    of whole tables get rows as they came.

    >>> import torch, nearfar as nf
    >>> memory, x = nf.queue(64), nf.rows(torch.randn(8, 4), record=torch.arange(8))
    >>> term = nf.Scored(nf.info_nce, nf.paired(), keys=memory)
    >>> nf.update_state(term, {"x": x, "y": x})
    >>> len(memory.rows())
    8
    """
    together = chosen(ranks)
    given = {n: r.detach() for n, r in rows.items()}
    if together is not None:
        given = {n: g.rows for n, g in together.gather(given).items()}
    whole = objective if isinstance(objective, Objective) else Objective({"": objective})
    moved: set[int] = set()

    def move(parts: tuple[Any, ...], *tables: Rows | None) -> None:
        for module in _stateful(*parts):
            if id(module) not in moved:
                moved.add(id(module))
                module.update(*tables)

    for term in whole.on_rows().values():
        if isinstance(term, OnRows):
            move(term.state, *(stream(given, name) for name in term.streams))
        if not isinstance(term, Scored):
            continue
        queries = stream(given, term.queries_from)
        keys = None if term.keys_from is None else stream(given, term.keys_from)
        key_rows = queries if keys is None else keys
        move((term.head, term.key_head), key_rows)
        if any(True for _ in _stateful(term.keys, term.own, term.similarity)):
            # What is remembered of rows is what was scored: rows that have been through the head.
            head = term.key_head or term.head
            move((term.keys, term.own, term.similarity), key_rows if head is None else head(key_rows))
        move((getattr(term.rule, "__self__", None),), queries, keys)


def _stateful(*parts: Any) -> Iterator[Any]:
    """The modules among some parts that have an `update`, also those inside of others (a chain of stages)."""
    for part in parts:
        owner = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
        if not isinstance(owner, nn.Module):
            continue
        if hasattr(owner, "update"):
            yield owner
        else:
            yield from _stateful(*owner.children())
