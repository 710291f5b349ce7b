"""Python source as a tree with exact places, for the views that change code: parsed, never imported, compiled or run.

A record may be a whole file, a function, or a method that is still indented as in its class; and it may have a head before `FIELD`,
which is left alone. What does not parse is left alone, too: it may be another language, or half a file.
"""

from __future__ import annotations

import ast
import symtable
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nearfar.core.draws import Draws
from nearfar.core.text_fields import FIELD, text_of

T = TypeVar("T")

MAX_CHARACTERS = 1_000_000  # parsing takes about a hundred times the memory of the text
_WRAP = "if True:\n"  # a method that is indented parses as the body of this

# The filter of warnings is global to the process: two threads that set it and put it back must not meet.
_QUIET = threading.Lock()


@dataclass(frozen=True, eq=False)
class Source:
    """A piece of code that parses.

    code   what was parsed, which for an indented method begins with a line that is not its own
    lines  of it as UTF-8, without line ends: columns of `ast` count bytes
    tree   its numbers of lines are from 1, where `lines` counts from 0
    """

    code: str
    lines: list[bytes]
    tree: ast.Module

    @property
    def wrapped(self) -> bool:
        """Whether the first line is not of the record."""
        return self.code.startswith(_WRAP) and len(self.tree.body) == 1

    def scopes(self) -> symtable.SymbolTable | None:
        """Which name belongs to which scope; None for code that parses and still is no program."""
        try:
            with _QUIET, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return symtable.symtable(self.code, "record", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parsed(code: str) -> Source | None:
    """The code as a tree, or None if it is none that we understand."""
    # Python ends a line at a lone carriage return as well; a text with one is left alone rather than counted in two ways.
    if len(code) > MAX_CHARACTERS or code.startswith("\ufeff") or "\r" in code.replace("\r\n", "\n"):
        return None
    indented = code.lstrip("\r\n")[:1] in (" ", "\t")
    whole = _WRAP + code if indented else code
    try:
        lines = whole.encode().split(b"\n")
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(whole)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None
    # Code that goes back to the left after an indented beginning, or has an `else` there, is not one method.
    if indented and not (len(tree.body) == 1 and isinstance(tree.body[0], ast.If) and not tree.body[0].orelse):
        return None
    return Source(whole, lines, tree)


def with_code_changed(
    records: Sequence[Any],
    draws: Draws,
    purpose: str,
    plan: Callable[[Source], tuple[T, int]],
    change: Callable[[Source, T, list[float]], list[bytes]],
) -> list[str]:
    """The records with their code changed; the draws of all are made at once.

    plan    what there is to change in a source, and how many uniform draws that takes; none of them: nothing
    change  the lines, given the plan and the draws

    Raises DataError, where="record i", for a record that is no text.
    """
    codes = [text_of(record, number, "a view of code").rpartition(FIELD) for number, record in enumerate(records)]
    sources = [parsed(code) for _, _, code in codes]
    plans = [None if source is None else plan(source) for source in sources]
    drawn = draws.each(purpose, [0 if planned is None else planned[1] for planned in plans])
    made = []
    for record, (head, field, _), source, planned, each in zip(records, codes, sources, plans, drawn, strict=True):
        if source is None or planned is None or not len(each):
            made.append(record)
        else:
            lines = change(source, planned[0], each.tolist())
            made.append(head + field + b"\n".join(lines[source.wrapped :]).decode())
    return made
