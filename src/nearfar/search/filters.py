"""Filters on the columns of rows: `language=python`, `line>=10`, `name~parse`; all of several must hold.

A filter becomes a condition of SQL whose column and value are bound parameters, never text of the statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from nearfar.core.errors import UsageError

OPERATORS = ("!=", "<=", ">=", "=", "<", ">", "~")
SYNTAX = re.compile(r"\s*([^\s=<>!~][^=<>!~]*?)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
MOST = 4096  # characters of a column's name or of a value


class Filter(NamedTuple):
    """A column, an operator (= != < <= > >=, or ~ for "contains", whatever the case), and a text, number or truth value."""

    column: str
    op: str
    value: Any


def parse(text: str) -> Filter:
    """A filter as people write it; a number is meant as one, and finds a text that reads the same too.

    >>> parse("line >= 10")
    Filter(column='line', op='>=', value=10)
    >>> parse("name~parse")
    Filter(column='name', op='~', value='parse')

    Errors: UsageError for anything else.
    """
    found = SYNTAX.fullmatch(text)
    if found is None or len(text) > MOST:
        raise UsageError(
            f"{text[:80]!r} is no filter",
            where="filter",
            remedy="write COLUMN=VALUE, or one of "
            + " ".join(OPERATORS)
            + ' instead of =; for example "language=python"',
        )
    column, op, word = found.groups()
    return Filter(column, op, word if op == "~" else _value(word))


def condition(where: Iterable[Filter]) -> tuple[str, list[Any]]:
    """(condition of SQL on `rows.row`, its parameters); a row without the column passes no filter but `!=`.

    >>> condition([Filter("line", ">=", 10)])
    ('json_extract(row, ?) >= ?', ['$."line"', 10])
    """
    parts, given = [], []
    for column, op, value in where:
        if op not in OPERATORS or not _plain(value):
            raise UsageError(
                f"{(column, op, value)!r} is no filter", where="filter", remedy="see nearfar.search.filters"
            )
        path = path_of(column)
        if op == "~":
            parts.append("instr(lower(json_extract(row, ?)), lower(?)) > 0")
            given += [path, str(value)]
        elif op in ("=", "!="):
            told = "IS" if op == "=" else "IS NOT"
            joined = "OR" if op == "=" else "AND"
            # 3 finds 3 and "3": a csv file has texts only, and people do not write quotes.
            parts.append(f"(json_extract(row, ?) {told} ? {joined} CAST(json_extract(row, ?) AS TEXT) {told} ?)")
            given += [path, value, path, value if value is None else _text(value)]
        else:
            parts.append(f"json_extract(row, ?) {op} ?")
            given += [path, value]
    return " AND ".join(parts) or "1", given


def path_of(column: str) -> str:
    """Where SQLite finds a column in a row. UsageError for a name with a quote, for which it has no writing."""
    if '"' in column:
        raise UsageError(
            f"{column[:80]!r} holds a quote",
            where="filter",
            remedy="filter by a column whose name has none, or rename it",
        )
    return f'$."{column}"'


def _value(word: str) -> Any:
    try:
        value = json.loads(word)
    except ValueError:
        return word
    return value if _plain(value) else word


def _plain(value: Any) -> bool:
    """Whether SQLite can compare with a value: its whole numbers have 64 bits."""
    return isinstance(value, str | float | bool | None) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
