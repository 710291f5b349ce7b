"""Statements about a pair, (columns of queries, columns of keys) -> [q k] of bool, for editing relations.

They combine with `&`, `|` and `~` and are plain data, so that an edited relation can be stored:

    paired().only(~(same("record") & key_has("stale")))      a stale copy of the record itself is no pair at all
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nearfar.core.errors import UsageError

Columns = Mapping[str, Tensor]
PairFunction = Callable[[Columns, Columns], Tensor]


class Predicate:
    """Base of the statements below; subclasses are frozen dataclasses with one method, `holds`."""

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        """[q k] of bool."""
        raise NotImplementedError

    def __call__(self, queries: Columns, keys: Columns) -> Tensor:
        return self.holds(queries, keys)

    def __and__(self, other: Predicate) -> Predicate:
        return Both(self, other)

    def __or__(self, other: Predicate) -> Predicate:
        return Either(self, other)

    def __invert__(self) -> Predicate:
        return Not(self)


def read(columns: Columns, name: str, side: str) -> Tensor:
    """A column, or an error that names it and lists what there is."""
    if name not in columns:
        raise UsageError(
            f"the {side} have no column {name!r}; they have {sorted(columns)}",
            remedy=f"pass it when you make the rows: nf.rows(vectors, {name}=...)",
        )
    return columns[name]


@dataclass(frozen=True)
class Same(Predicate):
    """Query and key have the same entry in a column, or the query's `column` equals the key's `key_column`."""

    column: str
    key_column: str = ""

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        q, k = read(queries, self.column, "queries"), read(keys, self.key_column or self.column, "keys")
        return q[:, None] == k[None, :]


@dataclass(frozen=True)
class KeyHas(Predicate):
    """The key's entry in a column is true (non-zero)."""

    column: str

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        flag = read(keys, self.column, "keys").bool()
        return flag[None, :].expand(len(next(iter(queries.values()))), -1)


@dataclass(frozen=True)
class QueryHas(Predicate):
    """The query's entry in a column is true (non-zero)."""

    column: str

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        flag = read(queries, self.column, "queries").bool()
        return flag[:, None].expand(-1, len(next(iter(keys.values()))))


@dataclass(frozen=True)
class Within(Predicate):
    """Query and key lie at most `distance` apart in a column (Euclidean for a column of points [r p])."""

    column: str
    distance: float

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        q, k = read(queries, self.column, "queries"), read(keys, self.column, "keys")
        apart = q[:, None] - k[None, :]
        return (apart.abs() if apart.ndim == 2 else apart.float().norm(dim=-1)) <= self.distance


@dataclass(frozen=True)
class Both(Predicate):
    """Conjunction."""

    first: Predicate
    second: Predicate

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        return self.first(queries, keys) & self.second(queries, keys)


@dataclass(frozen=True)
class Either(Predicate):
    """Disjunction."""

    first: Predicate
    second: Predicate

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        return self.first(queries, keys) | self.second(queries, keys)


@dataclass(frozen=True)
class Not(Predicate):
    """Negation."""

    inner: Predicate

    def holds(self, queries: Columns, keys: Columns) -> Tensor:
        return ~self.inner(queries, keys)


def same(column: str, key_column: str = "") -> Predicate:
    """Query and key agree in a column; with two names, the query's first one and the key's second one are equal."""
    return Same(column, key_column)


def key_has(column: str) -> Predicate:
    """The key's entry in a column is true."""
    return KeyHas(column)


def query_has(column: str) -> Predicate:
    """The query's entry in a column is true."""
    return QueryHas(column)


def within(column: str, distance: float) -> Predicate:
    """Query and key lie at most `distance` apart in a column."""
    return Within(column, distance)
