"""Reads the card of a part from its source text, so that a list of all parts imports none of them.

A card is `CARD = Card(name="...", ...)` at the top level of a file, with literals only: what is not a literal would have to
be run to be known. Only the statement itself is parsed, not the file, which keeps hundreds of files within milliseconds.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nearfar.core.card import Card
from nearfar.core.errors import UsageError

_START = re.compile(r"\nCARD\b[^\n]*=\s*Card\(")  # a card never stands on a file's first line: the docstring does
_FIELDS = frozenset(f.name for f in fields(Card))


@dataclass(frozen=True)
class FoundCard:
    """A card and the line of the file on which it starts."""

    card: Card
    line: int


def read_card(path: Path) -> FoundCard | None:
    """The card of a file, or None if the file has none.

    Raises UsageError, which names file and line, for a card that is not made of literals, for an unknown or wrong field,
    and for a second card in the same file.
    """
    try:
        data = path.read_bytes()
        if b"CARD" not in data:
            return None
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"this part cannot be read: {error}", where=str(path), remedy="store it as UTF-8") from error
    return card_in(text, path)


def card_in(text: str, path: Path) -> FoundCard | None:
    """The card in the source text of `path`."""
    starts = [match.start() + 1 for match in _START.finditer(text)]
    if len(starts) == 1:
        statement, line = _statement(text, starts[0]), text.count("\n", 0, starts[0]) + 1
        if statement is not None:
            return FoundCard(_card(statement, path, line - 1), line)
    # An annotated, odd or doubled card, or one inside a string: the whole file decides.
    statements = _top_level(text, path)
    if not statements:
        return None
    if len(statements) > 1:
        where = f"{path}:{statements[1].lineno}"
        raise UsageError(
            "a file has one card; this is the second", where=where, remedy="give every part a file of its own"
        )
    return FoundCard(_card(statements[0], path, 0), statements[0].lineno)


def _statement(text: str, start: int) -> ast.stmt | None:
    """The one statement that starts here, found without parsing what follows it: up to the next line that ends in `)`."""
    end = start
    while (end := text.find(")\n", end) + 2) > 1:
        try:
            body = ast.parse(text[start:end]).body
        except (SyntaxError, ValueError):
            continue
        return body[0] if len(body) == 1 else None
    return None


def _top_level(text: str, path: Path) -> list[ast.stmt]:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UsageError(
            f"this part is not valid Python: {error}", where=f"{path}:{line}", remedy="fix the syntax"
        ) from error
    return [s for s in body if isinstance(s, ast.Assign | ast.AnnAssign) and _assigns_card(s)]


def _assigns_card(statement: ast.Assign | ast.AnnAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(t, ast.Name) and t.id == "CARD" for t in targets)


def _card(statement: ast.stmt, path: Path, lines_before: int) -> Card:
    def fail(what: str, node: ast.AST, remedy: str) -> UsageError:
        return UsageError(what, where=f"{path}:{getattr(node, 'lineno', 1) + lines_before}", remedy=remedy)

    call = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Card":
        raise fail("CARD is not a call of Card", statement, 'write CARD = Card(name="...", summary="...")')
    if call.args:
        raise fail("a card takes keywords only", call.args[0], 'write CARD = Card(name="...", summary="...")')
    values: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise fail(f"a card has no field {keyword.arg!r}", keyword, f"the fields are {known}")
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError) as error:
            raise fail(f"the card's {keyword.arg} is not a literal", keyword.value, "write the value itself") from error
        if not _fits(keyword.arg, value):
            kind = "a string" if keyword.arg in ("name", "summary") else "a tuple of strings, such as ('positive',)"
            raise fail(f"the card's {keyword.arg} must be {kind}, not {value!r}", keyword.value, "change the card")
        values[keyword.arg] = value
    for required in ("name", "summary"):
        if not values.get(required):
            raise fail(f"the card has no {required}", statement, f'add {required}="..."')
    return Card(**values)


def _fits(field: str, value: Any) -> bool:
    if field in ("name", "summary"):
        return isinstance(value, str)
    return isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)
