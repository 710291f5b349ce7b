"""Reorder statements: neighbouring statements of Python code that do not depend on one another change their order.

        a run = neighbouring imports, or plain assignments, or definitions of functions;   statement i stays before j > i  where one
        binds a name that the other binds or reads;   else the order is drawn

What is written first is often chance: imports, constants, methods of a class. Kin: `rename_identifiers` keeps the order and changes
the names.
Source: Liu et al. 2023 (ContraBERT, arXiv 2301.09072), who exchange lines of a block that do not depend on one another, and leave open
what that is; Jain et al. 2020 (ContraCode, arXiv 2007.04973) reorder statements by a compiler.

What is moved is little, so that it is safe: imports (not from `__future__`, not of everything), on the assumption that importing one
module does not change what importing another does; `name = ...` of constants, names, operators and displays of such, without calls,
attributes or subscripts, on the assumption that operators neither change anything nor fail; functions without decorators, whose
defaults are such expressions. In the body of a class only functions are moved, for elsewhere order may be meaning (fields,
members). Nothing is moved within `try` or `with`, where a later statement may see how far an earlier one came. Every statement
must have its lines to itself; comments right above it, and at its end, go with it, blank lines stay.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.views.shared.options import check_share
from nearfar.views.shared.python_source import Source, with_code_changed

CARD = Card(
    name="reorder_statements",
    summary="neighbouring statements of Python code that do not depend on one another change their order",
    related=("rename_identifiers", "word_swap"),
    reads=("text",),
)

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_TRY = tuple(filter(None, [ast.Try, getattr(ast, "TryStar", None), ast.With, ast.AsyncWith]))
# Expressions whose evaluation changes nothing: operators on what names stand for are taken not to.
_PLAIN = (
    ast.Constant,
    ast.Name,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
_ANNOTATION = (*_PLAIN, ast.Attribute, ast.Subscript, ast.Slice)
_KINDS = ((ast.Import, ast.ImportFrom), (ast.Assign,), (ast.FunctionDef, ast.AsyncFunctionDef))
_DEFINITIONS = 2


@dataclass(frozen=True)
class _Movable:
    """A statement that may be moved: its lines from `first` (with the comments above it) to before `end`; names it binds and reads."""

    kind: int
    first: int
    end: int
    binds: frozenset[str]
    reads: frozenset[str]

    def must_stay_behind(self, earlier: _Movable) -> bool:
        return bool(self.binds & (earlier.binds | earlier.reads) or earlier.binds & self.reads)


@dataclass(frozen=True)
class ReorderStatements:
    """See `reorder_statements`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[str]:
        """The code in another order; what does not parse as Python as it is."""
        return with_code_changed(records, draws, "reorder_statements", _plan, self._reorder)

    def _reorder(self, source: Source, runs: list[list[_Movable]], draws: list[float]) -> list[bytes]:
        lines = list(source.lines)
        # Inner runs first: they stay within the lines of the statement that holds them.
        for run in reversed(runs):
            (which, *order), draws = draws[: len(run) + 1], draws[len(run) + 1 :]
            if which < self.share:
                _exchange(lines, run, _drawn_order(run, order))
        return lines


def reorder_statements(*, share: float = 1.0) -> ReorderStatements:
    """A view of Python source (texts; a head before the static encoder's field separator is left alone) in another order.

    share  chance of each run of statements to be put into another order

    Source that does not parse is returned unchanged: another language, half a file, a file of more than a million characters.
    share = 0 leaves all as they are; no statement is lost. Nothing is run or imported.
    Raises UsageError for a share outside 0 to 1, DataError for a record that is no text.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> code = "def f(x):\\n    low = 0\\n    high = x + 1\\n    middle = low + high\\n    return middle"
    >>> (made,) = nf.reorder_statements()([code], Draws(0, epoch=0, record=torch.tensor([3])))
    >>> print(made)
    def f(x):
        high = x + 1
        low = 0
        middle = low + high
        return middle
    """
    return ReorderStatements(share)


def _plan(source: Source) -> tuple[list[list[_Movable]], int]:
    """The runs, and the draws that they take: one each, and one a statement."""
    runs = list(_runs(source))
    return runs, sum(len(run) + 1 for run in runs)


def _runs(source: Source) -> Iterator[list[_Movable]]:
    """Runs of two movable statements and more, those of an outer block before those within."""
    stack: list[tuple[list[ast.stmt], bool]] = [(source.tree.body, False)]
    while stack:
        body, in_class = stack.pop()
        yield from _runs_of(source, body, in_class) if body else ()
        for node in body:
            stack += _blocks(node)


def _blocks(node: ast.AST) -> Iterator[tuple[list[ast.stmt], bool]]:
    """The blocks within a statement in which statements may be moved, and whether it is a class's."""
    if isinstance(node, _TRY):
        return
    for name in _BLOCKS:
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block, isinstance(node, ast.ClassDef)
        elif isinstance(block, list):
            for case in block:
                yield from _blocks(case)


def _runs_of(source: Source, body: list[ast.stmt], in_class: bool) -> Iterator[list[_Movable]]:
    run: list[_Movable] = []
    above = body[0].lineno - 1
    for node in body:
        made = _movable(source, node, above, bool(run), in_class)
        if made is None or (run and made.kind != run[-1].kind):
            if len(run) > 1:
                yield run
            run = []
            made = _movable(source, node, above, False, in_class)
        if made is not None:
            run.append(made)
        above = node.end_lineno or node.lineno
    if len(run) > 1:
        yield run


def _movable(source: Source, node: ast.stmt, above: int, in_run: bool, in_class: bool) -> _Movable | None:
    """The statement as one that may be moved, or None; the one before it ends before line `above`, and may be moved with it."""
    kind = next((i for i, kinds in enumerate(_KINDS) if isinstance(node, kinds)), None)
    names = _names_of(node, in_class)
    first, end = node.lineno - 1, (node.end_lineno or node.lineno)
    before, behind = source.lines[first][: node.col_offset], source.lines[end - 1][node.end_col_offset :]
    alone = not before.strip() and above <= first and _is_comment(behind)
    # What is no comment above it is a backslash, which continues a line.
    if kind is None or names is None or not alone or not all(map(_is_comment, source.lines[above:first])):
        return None
    # Comments right above belong to it; but above the first of a run of imports or assignments, they may belong to all of them.
    while (in_run or kind == _DEFINITIONS) and first > above and source.lines[first - 1].strip():
        first -= 1
    return _Movable(kind, first, end, *names)


def _is_comment(text: bytes) -> bool:
    """Whether this is nothing but a comment, or nothing at all."""
    return not text.strip() or text.strip().startswith(b"#")


def _names_of(node: ast.stmt, in_class: bool) -> tuple[frozenset[str], frozenset[str]] | None:
    """The names that a statement binds and those it reads when it is executed; None if it must not be moved."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        defaults = [part for part in (*arguments.defaults, *arguments.kw_defaults) if part is not None]
        annotations = [part for part in (*(a.annotation for a in every if a), node.returns) if part is not None]
        plain = all(map(_is_plain, defaults)) and all(_is_plain(part, _ANNOTATION) for part in annotations)
        if node.decorator_list or getattr(node, "type_params", None) or not plain:
            return None
        return frozenset({node.name}), _loaded([*defaults, *annotations])
    if in_class:
        return None
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        if isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*"):
            return None
        return frozenset(a.asname or a.name.partition(".")[0] for a in node.names), frozenset()
    if isinstance(node, ast.Assign) and _is_plain(node.value):
        bound = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if len(bound) == len(node.targets):
            return frozenset(bound), _loaded([node.value])
    return None


def _is_plain(expression: ast.expr, kinds: tuple[type, ...] = _PLAIN) -> bool:
    return all(isinstance(node, kinds) for node in ast.walk(expression))


def _loaded(expressions: Sequence[ast.expr]) -> frozenset[str]:
    return frozenset(n.id for e in expressions for n in ast.walk(e) if isinstance(n, ast.Name))


def _drawn_order(run: list[_Movable], draws: list[float]) -> list[int]:
    """An order that keeps every statement behind those it depends on: of those that may come next, the one of the smallest draw."""
    left, order = set(range(len(run))), []
    while left:
        free = [i for i in left if not any(j < i and run[i].must_stay_behind(run[j]) for j in left)]
        order.append(min(free, key=draws.__getitem__))
        left.remove(order[-1])
    return order


def _exchange(lines: list[bytes], run: list[_Movable], order: list[int]) -> None:
    """Put the statements of a run into that order; the blank lines between two places stay there."""
    gaps = [lines[a.end : b.first] for a, b in pairwise(run)] + [[]]
    made = [line for i, gap in zip(order, gaps, strict=True) for line in lines[run[i].first : run[i].end] + gap]
    lines[run[0].first : run[-1].end] = made
