"""Rename identifiers: the local variables and arguments of Python functions get new names, one for one, and the meaning stays.

        name -> a word of random syllables,  for a share of the names of each outermost function

What is called what is a choice of its author; an encoder of what code does should not hang on it, and pretrained ones do. Kin:
`reorder_statements` changes the order and leaves the names.
Source: Liu et al. 2023 (ContraBERT, arXiv 2301.09072), renaming of variables; Jain et al. 2020 (ContraCode, arXiv 2007.04973), who rename
by a compiler. Neither says what happens to names that reach beyond the function; we leave them.

A name is renamed only if, everywhere in its outermost function, it is a local variable or an argument, closures included. What
keeps its name: whatever is global, built in, imported, defined by `def` or `class`, caught by `except`, bound in a class or by a
pattern; attributes, `self`, `cls`, names that start with two underscores; names inside f-strings, whose text may show them;
arguments that can only be given by keyword, and those that some call in the record gives by that keyword. Functions that look at
their names at run time (`locals`, `vars`, `eval`, `exec`, `dir`) are left alone. A caller outside of the record that gives
an argument by keyword does not know its new name.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.views.shared.options import check_share
from nearfar.views.shared.python_source import Source, with_code_changed

CARD = Card(
    name="rename_identifiers",
    summary="local variables and arguments of Python code get new names, and the meaning stays",
    related=("reorder_statements", "synonyms"),
    reads=("text",),
)

_WORD = re.compile(r"\w+")
_TEMPLATES = tuple(filter(None, [getattr(ast, "TemplateStr", None)]))  # of Python 3.14
_REFLECTIVE = frozenset({"locals", "vars", "eval", "exec", "dir", "_getframe", "currentframe"})
_CUSTOMARY = frozenset({"self", "cls", "_"})
_TAKEN = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)})
_SYLLABLES = [c + v for c in "bdfgjklmnprstvz" for v in "aeiou"]
_DRAWS = 4  # a name: whether, and three syllables, which make 400,000 names

Spots = list[tuple[int, int, int]]  # of one name: line from 0, first and last byte


@dataclass(frozen=True)
class RenameIdentifiers:
    """See `rename_identifiers`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """The code under other names; what does not parse as Python as it is."""
        return with_code_changed(records, draws, "rename_identifiers", _plan, self._rename)

    def _rename(self, source: Source, names: list[Spots], draws: list[float]) -> list[bytes]:
        lines, taken = list(source.lines), {*_TAKEN, *_WORD.findall(source.code)}
        changes: list[tuple[int, int, int, str]] = []
        for number, spots in enumerate(names):
            which, *spelling = draws[_DRAWS * number : _DRAWS * (number + 1)]
            if which < self.share:
                new = _new_name(spelling, taken)
                taken.add(new)
                changes += [(line, start, end, new) for line, start, end in spots]
        for line, start, end, new in sorted(changes, reverse=True):  # from the end, so that earlier columns still hold
            lines[line] = lines[line][:start] + new.encode() + lines[line][end:]
        return lines


def rename_identifiers(*, share: float = 1.0) -> RenameIdentifiers:
    """A view of Python source (texts; a head before the static encoder's field separator is left alone) under other names.

    share  of the names that can be renamed without changing what the code does; the rest keep theirs

    Source that does not parse is returned unchanged: another language, half a file, a file of more than a million characters.
    share = 0 leaves all as they are. Nothing is run or imported.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> code = "def area(width, height):\\n    result = width * height\\n    return abs(result)"
    >>> (made,) = nf.rename_identifiers()([code], Draws(0, epoch=0, record=torch.tensor([3])))
    >>> print(made)
    def area(zupeba, devaze):
        ligate = zupeba * devaze
        return abs(ligate)
    """
    return RenameIdentifiers(share)


def _plan(source: Source) -> tuple[list[Spots], int]:
    """Where each name that may change stands, outermost function by function; and the draws that they take."""
    names = _renamable(source)
    return names, _DRAWS * len(names)


def _renamable(source: Source) -> list[Spots]:
    scopes = source.scopes()
    if scopes is None:
        return []
    by_keyword = {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.keyword)}
    tables: dict[tuple[str, int], list[symtable.SymbolTable]] = {}
    for table in _outermost_tables(scopes):
        tables.setdefault((table.get_name(), table.get_lineno()), []).append(table)
    found: list[Spots] = []
    for function in _outermost(source.tree):
        # Two lambdas of one line cannot be told apart here; a name must then be local in both.
        mine = tables.get((getattr(function, "name", "lambda"), function.lineno), [])
        nodes = list(ast.walk(function))
        names = _local(mine) - _fixed(function, nodes, by_keyword)
        found += _places(source, nodes, names).values()
    return found


def _outermost(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
    """Functions and lambdas that lie in no other one, in the order of the source."""
    stack = list(ast.iter_child_nodes(tree))[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
        else:
            stack += list(ast.iter_child_nodes(node))[::-1]


def _outermost_tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        if child.get_type() == "function":
            yield child
        else:
            yield from _outermost_tables(child)


def _local(tables: list[symtable.SymbolTable]) -> set[str]:
    """Names that are variables of a function wherever they occur in these scopes and those within."""
    names: set[str] = set()
    other: set[str] = set()
    stack = list(tables)
    while stack:
        table = stack.pop()
        stack += table.get_children()
        in_class = table.get_type() == "class"
        for symbol in table.get_symbols():
            names.add(symbol.get_name())
            if symbol.is_global() or symbol.is_imported() or symbol.is_namespace() or (in_class and symbol.is_local()):
                other.add(symbol.get_name())
    return names - other


def _fixed(function: ast.AST, nodes: list[ast.AST], by_keyword: set[str | None]) -> set[str]:
    """Names of a function that must stay."""
    fixed = set(_CUSTOMARY)
    outside = _evaluated_outside(function)
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in _REFLECTIVE:
                return {n.id for n in nodes if isinstance(n, ast.Name)} | {
                    n.arg for n in nodes if isinstance(n, ast.arg)
                }
        elif isinstance(node, ast.arguments):
            fixed |= {argument.arg for argument in node.kwonlyargs}
        elif isinstance(node, ast.arg) and (node.arg in by_keyword or node.arg.startswith("__")):
            fixed.add(node.arg)
        elif isinstance(node, (ast.JoinedStr, *_TEMPLATES)):
            outside.append(node)
        elif not isinstance(node, (ast.arg, ast.keyword, ast.Constant)):
            fixed |= set(_bare(node))
    return fixed | {n.id for part in outside for n in ast.walk(part) if isinstance(n, ast.Name)}


def _evaluated_outside(function: ast.AST) -> list[ast.AST]:
    """What belongs to a function and is evaluated where it is defined: decorators, defaults, annotations."""
    arguments: Any = getattr(function, "args", None)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    parts = [
        *getattr(function, "decorator_list", []),
        *arguments.defaults,
        *arguments.kw_defaults,
        *(argument.annotation for argument in every if argument is not None),
        getattr(function, "returns", None),
    ]
    return [part for part in parts if part is not None]


def _bare(node: ast.AST) -> Iterator[str]:
    """Names that a node holds as text, so that `ast` does not say where they stand: of def, import, except, global, patterns."""
    for _, value in ast.iter_fields(node):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield item.partition(".")[0]


def _places(source: Source, nodes: list[ast.AST], names: set[str]) -> dict[str, Spots]:
    """Where these names stand, by first appearance; a name that is spelt differently somewhere is left out (Unicode folds some)."""
    found: dict[str, Spots] = {}
    spots = [(n, n.id) for n in nodes if isinstance(n, ast.Name)] + [
        (n, n.arg) for n in nodes if isinstance(n, ast.arg)
    ]
    spelt_otherwise = set()
    for node, name in sorted(spots, key=lambda spot: (spot[0].lineno, spot[0].col_offset)):
        line, start = node.lineno - 1, node.col_offset
        end = start + len(name.encode())
        if source.lines[line][start:end] != name.encode():
            spelt_otherwise.add(name)
        if name in names and not name.startswith("__"):
            found.setdefault(name, []).append((line, start, end))
    return {name: places for name, places in found.items() if name not in spelt_otherwise}


def _new_name(draws: list[float], taken: set[str]) -> str:
    name = "".join(_SYLLABLES[int(draw * len(_SYLLABLES))] for draw in draws)
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}{number}"
    return made
