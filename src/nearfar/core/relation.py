"""`Relation`: who is a positive of whom, who competes, who is left out, and with what weight - said once.

A relation is a pure function of two tables of columns. It holds no batch, so the same relation serves a batch, a
tile of it, a queue, prototypes, or the share of one rank; and because it is frozen data it can be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.predicate import Columns, PairFunction

Weight = float | Callable[[Columns, Columns], Tensor]


class Relation:
    """Base of all relations. A subclass is a frozen dataclass with one method, `block`.

    Edits return new relations and can be chained:

        only(p)                 pairs for which p fails do not exist
        drop_negatives(p)       pairs for which p holds are no negatives (they stay positives if they were)
        positives(p, weight)    pairs for which p holds are positives of that weight, and no negatives

    Any function (columns of queries, columns of keys) -> [q k] of bool is a predicate; those of
    `nearfar.core.predicate` can also be stored.
    """

    def block(self, queries: Columns, keys: Columns) -> Block:
        """The weights of every pair: columns of q queries and k keys -> Block of [q k]."""
        raise NotImplementedError

    def __call__(self, queries: Columns, keys: Columns) -> Block:
        return self.block(queries, keys)

    def only(self, predicate: PairFunction) -> Relation:
        """Leave out every pair for which `predicate` fails."""
        return Only(self, predicate)

    def drop_negatives(self, predicate: PairFunction) -> Relation:
        """Pairs for which `predicate` holds are negatives no longer."""
        return DropNegatives(self, predicate)

    def positives(self, predicate: PairFunction, weight: Weight = 1.0) -> Relation:
        """Pairs for which `predicate` holds become positives; `weight` is a number or (queries, keys) -> [q k]."""
        return Positives(self, predicate, weight)


def keep(weights: Tensor, where: Tensor) -> Tensor:
    """Weights where `where` holds, else zero; boolean stays boolean."""
    return weights & where if weights.dtype == torch.bool else weights * where


@dataclass(frozen=True)
class Only(Relation):
    """`base` without the pairs for which `predicate` fails."""

    base: Relation
    predicate: PairFunction

    def block(self, queries: Columns, keys: Columns) -> Block:
        where = self.predicate(queries, keys)
        return self.base(queries, keys).map(lambda m: keep(m, where))


@dataclass(frozen=True)
class DropNegatives(Relation):
    """`base` with the negatives for which `predicate` holds left out."""

    base: Relation
    predicate: PairFunction

    def block(self, queries: Columns, keys: Columns) -> Block:
        block = self.base(queries, keys)
        return Block(block.pos, keep(block.neg, ~self.predicate(queries, keys)))


@dataclass(frozen=True)
class Positives(Relation):
    """`base` with the pairs for which `predicate` holds made positives."""

    base: Relation
    predicate: PairFunction
    weight: Weight = 1.0

    def block(self, queries: Columns, keys: Columns) -> Block:
        block, where = self.base(queries, keys), self.predicate(queries, keys)
        if self.weight == 1.0 and block.pos.dtype == torch.bool:
            return Block(block.pos | where, keep(block.neg, ~where))
        weight = self.weight(queries, keys) if callable(self.weight) else torch.full(where.shape, float(self.weight))
        weight = weight.to(where.device)
        return Block(torch.where(where, weight, block.pos.to(weight.dtype)), keep(block.neg, ~where))


@dataclass(frozen=True)
class Custom(Relation):
    """A relation from any function of two tables of columns; it cannot be stored."""

    function: Callable[[Columns, Columns], Block]

    def block(self, queries: Columns, keys: Columns) -> Block:
        return self.function(queries, keys)


def as_relation(relation: Relation | Callable[[Columns, Columns], Block]) -> Relation:
    """A relation as it is; any other function wrapped, so that it can be edited too."""
    return relation if isinstance(relation, Relation) else Custom(relation)
