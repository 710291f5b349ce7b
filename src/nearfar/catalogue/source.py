"""What a part's source says beyond its card: docstrings and signature, read with `ast` and never by importing.

A page about a part must cost milliseconds and must work where torch does not.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import nearfar
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.parts import PACKAGE, RECIPES, Part, find, parts, unknown

FACE_KIND = "the public face"
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


@dataclass(frozen=True)
class Description:
    """A part with what its file says: the module's text, the signature, the docstring's prose and its example."""

    part: Part
    text: str
    signature: str
    prose: str
    example: str

    @property
    def call(self) -> str:
        """How to reach it from Python."""
        part = self.part
        if part.kind == RECIPES:
            return f'nearfar.train("{part.name}", ...)'
        if part.source:
            return f"from {part.module} import {part.attribute}"
        return f"nearfar.{part.attribute}"


def describe(part: Part) -> Description:
    """Read the file of a part. Raises UsageError, naming the file, if it cannot be read."""
    tree = _parsed(part.file)
    node, doc = defined(tree, part.attribute)
    made_by = _class_method(tree, node, "fit") if isinstance(node, ast.ClassDef) else None
    prose, example = split_example(doc)
    text = "" if part.kind == FACE_KIND else (ast.get_docstring(tree) or "")
    if made_by is not None:
        call = _call(f"{part.attribute}.fit", _arguments(made_by.args, skip_self=True), f" -> {part.attribute}")
        settings, _ = split_example(ast.get_docstring(made_by) or "")
        return Description(part, text, call, f"{prose}\n\n{part.attribute}.fit: {settings}", example)
    return Description(part, text, signature(node) if node else "", prose, example)


def defined(tree: ast.Module, name: str) -> tuple[Definition | None, str]:
    """The top-level function, class or assigned value of that name, and its docstring (of a value: the string below it)."""
    for node, following in pairwise([*tree.body, ast.Pass()]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return node, _string(following)
    return None, ""


def _string(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return inspect.cleandoc(statement.value.value) if isinstance(statement.value.value, str) else ""
    return ""


def signature(node: Definition) -> str:
    """`name(arguments) -> result`, on one line if that fits in 100 characters, else an argument a line; of a value `name = ...`."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node)
    if isinstance(node, ast.ClassDef):
        arguments, result = _class_arguments(node), ""
    else:
        arguments = _arguments(node.args)
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return _call(node.name, arguments, result)


def _call(name: str, arguments: list[str], result: str) -> str:
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){result}"


def _class_method(tree: ast.Module, node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """The classmethod of a class, or of the first base that has it; bases stand in the same file or are imported from this package."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == name:
            return member if "classmethod" in map(ast.unparse, member.decorator_list) else None
    for base in node.bases:
        word, home = ast.unparse(base), tree
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom) and word in {alias.name for alias in statement.names}:
                path = PACKAGE.parent.joinpath(*(statement.module or "").split(".")).with_suffix(".py")
                home = _parsed(str(path)) if path.is_file() else ast.Module([], [])
        found, _ = defined(home, word)
        if isinstance(found, ast.ClassDef) and (method := _class_method(home, found, name)) is not None:
            return method
    return None


def _arguments(arguments: ast.arguments, skip_self: bool = False) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    shown = [_argument(a, d) for a, d in zip(positional, defaults, strict=True)][1 if skip_self else 0 :]
    if arguments.vararg:
        shown.append("*" + _argument(arguments.vararg, None))
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += [_argument(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg:
        shown.append("**" + _argument(arguments.kwarg, None))
    return shown


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {ast.unparse(argument.annotation)}"
    if default is not None:
        text += (" = " if argument.annotation is not None else "=") + ast.unparse(default)
    return text


def _class_arguments(node: ast.ClassDef) -> list[str]:
    """Arguments of `__init__`, or the fields of a dataclass."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _arguments(member.args, skip_self=True)
    fields = []
    for member in node.body:
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            default = f" = {ast.unparse(member.value)}" if member.value else ""
            fields.append(f"{member.target.id}: {ast.unparse(member.annotation)}{default}")
    return fields


def split_example(doc: str) -> tuple[str, str]:
    """The prose of a docstring and its first run of `>>>` lines with their output."""
    lines = doc.splitlines()
    start = next((i for i, line in enumerate(lines) if line.lstrip().startswith(">>>")), None)
    if start is None:
        return doc, ""
    end = next((i for i in range(start, len(lines)) if not lines[i].strip()), len(lines))
    prose = "\n".join([*lines[:start], *lines[end:]]).strip()
    return prose, inspect.cleandoc("\n".join(lines[start:end]))


@lru_cache(maxsize=1)
def face() -> tuple[Part, ...]:
    """The public names that are no parts (`nearfar.rows`, `nearfar.train`), as parts, so that they have pages too."""
    found = []
    for name, module in nearfar.FACE.items():
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        if not path.is_file():
            raise UsageError(
                f"nearfar.{name} is to come from {module}, which is no file", where=str(path), remedy="correct FACE"
            )
        node, doc = defined(_parsed(str(path)), name)
        if node is None:
            raise UsageError(f"{module} defines no {name}", where=str(path), remedy="correct nearfar.FACE")
        first = doc.partition("\n")[0].rstrip(".")
        found.append(Part(Card(name=name, summary=first or name), FACE_KIND, "", module, str(path), node.lineno))
    return tuple(found)


def find_any(name: str, kind: str | None = None) -> Part:
    """A part, a recipe, or a name of the public face; an unknown name is a UsageError with the nearest ones."""
    try:
        return find(name, kind)
    except UsageError:
        if kind is not None:
            raise
    for part in face():
        if part.name == name:
            return part
    raise unknown(name, [part.name for part in (*parts(), *face())], "part")


def kind_summary(kind: str) -> str:
    """The first line of the docstring of the folder of a kind, without its full stop; "" if there is none."""
    path = PACKAGE / kind / "__init__.py"
    if not path.is_file():
        return ""
    return (ast.get_docstring(_parsed(str(path))) or "").partition("\n")[0].rstrip(".")


@lru_cache(maxsize=512)
def _parsed(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UsageError(f"the source cannot be read: {error}", where=file, remedy="install nearfar again") from error
