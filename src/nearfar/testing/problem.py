"""A problem for the ways of running: records with features, towers that embed them, an objective, and the truth in naive loops.

It is built by a function at the top level of a module, so that every rank can build the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.block import Block
from nearfar.core.rows import Rows
from nearfar.core.rule import Rule, applies, card_of
from nearfar.maths.similarity import Similarity, cosine
from nearfar.objectives.composed import Objective
from nearfar.objectives.scored import Scored, now
from nearfar.testing.contract import Reference
from nearfar.testing.scalars import sqrt

Loops = Callable[[Mapping[str, Rows]], Tensor]


@dataclass(eq=False)
class Problem:
    """What a way of running is given.

    tables      Rows of every stream; the vectors are the features that the stream's tower takes
    towers      a module for each stream; a stream without one is data that is learned (replicated rows)
    objective   what is optimised
    loops       the embedded tables -> the loss, in loops over single numbers
    learned     further tensors that the objective learns
    """

    tables: Mapping[str, Rows]
    towers: Mapping[str, nn.Module]
    objective: Objective
    loops: Loops
    learned: Sequence[Tensor] = ()

    def parameters(self) -> list[Tensor]:
        """All that is learned, each once, in a fixed order."""
        found = [p for name in self.tables if name in self.towers for p in self.towers[name].parameters()]
        found += [r.vectors for n, r in self.tables.items() if n not in self.towers and r.vectors.requires_grad]
        return list(dict.fromkeys([*found, *self.learned]))

    def embedded(self) -> dict[str, Rows]:
        """All tables behind their towers, in one graph."""
        return {
            n: rows.with_vectors(self.towers[n](rows.vectors)) if n in self.towers else rows
            for n, rows in self.tables.items()
        }


def tower(d: int, out: int, seed: int) -> nn.Module:
    """A small non-linear map in float64 with seeded weights: gradients of its parameters mix all records."""
    draws = torch.Generator().manual_seed(seed)
    layer, head = nn.Linear(d, out).double(), nn.Linear(out, out).double()
    with torch.no_grad():
        for p in (*layer.parameters(), *head.parameters()):
            p.copy_(torch.randn(p.shape, generator=draws, dtype=torch.float64) / 2)
    return nn.Sequential(layer, nn.Tanh(), head)


def rule_problem(
    rule: Rule,
    reference: Reference,
    relation: Any,
    columns: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    both_ways: bool = True,
) -> Problem:
    """A rule under a relation, on two tables of records with learned temperature and bias.

    `columns` are those of queries and keys; `reference` is the rule's loss of one row in plain numbers. Channels that the
    rule reads are made from the vectors, with gradient.
    """
    draws = torch.Generator().manual_seed(7)
    tables = {}
    for name, given in zip("xy", columns, strict=True):
        features = torch.randn(len(next(iter(given.values()))), 5, generator=draws, dtype=torch.float64)
        tables[name] = Rows(features, dict(given))
    log_temperature = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
    card = card_of(rule)
    channels = card.channels if card is not None else ()
    term = Scored(
        rule,
        relation,
        similarity=measuring(channels) if channels else cosine,
        temperature=log_temperature.exp(),
        bias=bias,
        both_ways=both_ways,
    )

    def loops(embedded: Mapping[str, Rows]) -> Tensor:
        return scored_loops(term, reference, channels, embedded["x"], embedded["y"])

    towers = {"x": tower(5, 4, 1), "y": tower(5, 4, 2)}
    return Problem(tables, towers, Objective({"contrast": term}), loops, [log_temperature, bias])


def measuring(channels: Sequence[str]) -> Similarity:
    """The cosine, and for each channel another number between a half and one and a half: 1 + cos(q, k rolled) / 2."""

    def score(queries: Rows, keys: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        q, k = queries.vectors, keys.vectors
        return q @ k.T, {name: 1 + q @ k.roll(at + 1, 1).T / 2 for at, name in enumerate(channels)}

    return Similarity("cosine with channels", score, lambda v: torch.nn.functional.normalize(v, dim=-1))


def scored_loops(term: Scored, reference: Reference, channels: Sequence[str], queries: Rows, keys: Rows) -> Tensor:
    """A rule's loss on whole tables, one pair and one row at a time; both ways where the term says so."""
    assert term.relation is not None
    block = term.relation(queries.columns, keys.columns)
    table = [[_measured(q, k, channels) for k in keys.vectors] for q in queries.vectors]
    forward = _one_way(term, reference, channels, table, block)
    if not term.both_ways:
        return forward
    turned = [list(column) for column in zip(*table, strict=True)]
    return (forward + _one_way(term, reference, channels, turned, block.map(lambda m: m.T))) / 2


def _one_way(
    term: Scored, reference: Reference, channels: Sequence[str], table: list[list[list[Tensor]]], block: Block
) -> Tensor:
    reaches = applies(term.rule, block).tolist()
    total, counted = torch.zeros((), dtype=torch.float64), 0.0
    for i, row in enumerate(table):
        if not reaches[i]:
            continue
        scores = [pair[0] / now(term.temperature) + now(term.bias) for pair in row]
        measured = {name: [pair[at + 1] for pair in row] for at, name in enumerate(channels)}
        pos, neg = block.pos[i].double().tolist(), block.neg[i].double().tolist()
        found = reference(scores, pos, neg, **measured)
        loss, count = (
            found if isinstance(found, tuple) else (found, 1)
        )  # a rule that leaves pairs out says how many it counts
        total, counted = total + loss, counted + float(count)
    return total / (counted or 1)


def _measured(q: Tensor, k: Tensor, channels: Sequence[str]) -> list[Tensor]:
    """The score of a pair and its channels."""
    return [_cosine(q, k), *(1 + _cosine(q, k.roll(at + 1)) / 2 for at in range(len(channels)))]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Written out, number by number."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return torch.as_tensor(dot / (sqrt(sum(x * x for x in a)) * sqrt(sum(y * y for y in b))))
