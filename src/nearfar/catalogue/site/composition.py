"""What a recipe is made of, read off its tree: each part, where it stands, and with which options."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from nearfar.core.parts import BY_NAME, RECIPES, Part
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Decode, Measure, Refresh, Transform
from nearfar.core.tree import hints
from nearfar.core.use import Use

CODE, TRIAL = "its code", "its trial"
WITHOUT_OBJECTIVE = (Decode, Measure, Refresh, Transform)


@dataclass(frozen=True)
class Piece:
    """A part in its place.

    The `role` is the dotted name by which `--set` reaches it; CODE for one that the recipe's own code calls, TRIAL for one that only
    the experiment of its claim does.
    """

    role: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """A recipe taken apart.

    pieces    parts, in the order of the tree, then those that the recipe's own code calls
    own       functions and classes of the recipe's own file that stand in the tree: (role, name, what it says of itself)
    recipes   the recipes that it starts from
    """

    recipe: Recipe
    pieces: tuple[Piece, ...]
    own: tuple[tuple[str, str, str], ...]
    recipes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every part that it is made of, once."""
        return tuple(dict.fromkeys(piece.name for piece in self.pieces if piece.role != TRIAL))


def composition(part: Part, recipe: Recipe, everything: Mapping[str, Part]) -> Composition:
    """Take a recipe apart; `part` says where its file is, `everything` holds the parts by module."""
    pieces: list[Piece] = []
    own: list[tuple[str, str, str]] = []
    for role, found in _walk(_told(recipe), ""):
        if isinstance(found, Piece):
            pieces.append(found)
        elif (known := everything.get(getattr(found, "__module__", ""))) and known.kind != RECIPES:
            pieces.append(Piece(role, known.name))
        else:
            about = (getattr(found, "__doc__", "") or "").strip().partition("\n")[0]
            own.append((role, getattr(found, "__name__", type(found).__name__), about))
    called = {module: role for module, role in _called(part).items() if module in everything}
    held = {piece.name for piece in pieces}
    others = [(everything[module], role) for module, role in called.items()]
    pieces += [Piece(role, one.name) for one, role in others if one.kind not in BY_NAME and one.name not in held]
    return Composition(
        recipe, tuple(pieces), tuple(own), tuple(o.name for o, r in others if o.kind == RECIPES and r == CODE)
    )


def _told(recipe: Recipe) -> Recipe:
    """Without the objective that a recipe has by default and never uses, because none of its stages optimises."""
    if recipe.stages and all(isinstance(stage, WITHOUT_OBJECTIVE) for stage in recipe.stages):
        return dataclasses.replace(recipe, objective=Use(""))
    return recipe


def _walk(node: Any, role: str, kind: Any = None) -> Iterator[tuple[str, Any]]:
    """(role, Piece) or (role, function) for everything below a node that names or is a part."""
    if isinstance(node, str):
        if node and _may_be_part(kind) and not _is_word(node, kind):
            yield role, Piece(role, node)
    elif isinstance(node, Mapping):
        yield from _in_options(node, role)
    elif isinstance(node, (tuple, list)):
        inner = next(iter(get_args(kind)), None)
        for item in node:
            name = item if isinstance(item, str) else getattr(item, "name", None) or getattr(item, "part", None)
            yield from _walk(item, _joined(role, name) if name else role, inner)
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        part = getattr(node, "part", None)
        if isinstance(part, str) and part:
            yield role, Piece(role, part, dict(getattr(node, "options", {})))
            yield from _in_options(getattr(node, "options", {}), role)
            return
        if not type(node).__module__.startswith("nearfar.core."):
            yield role, type(node)
        known = hints(type(node))
        for one in dataclasses.fields(node):
            value = getattr(node, one.name)
            below = (
                role if isinstance(value, tuple) else _joined(role, one.name)
            )  # items are reached by their own names
            yield from _walk(value, below, known[one.name])
    elif callable(node) and not isinstance(node, type):
        yield role, node


def _in_options(options: Any, role: str) -> Iterator[tuple[str, Any]]:
    for name, value in options.items() if isinstance(options, Mapping) else ():
        below = _joined(role, str(name))
        if isinstance(value, Mapping) and isinstance(value.get("part"), str):
            yield below, Piece(below, value["part"], dict(value.get("options", {})))
        elif dataclasses.is_dataclass(value) or isinstance(value, (tuple, list)):
            yield from _walk(value, below)


def _may_be_part(kind: Any) -> bool:
    """Whether a field of this type may hold a part by its name: those are typed to hold a `Use` as well."""
    return kind is Use or any(_may_be_part(one) for one in get_args(kind) if one is not Ellipsis)


def _is_word(name: str, kind: Any) -> bool:
    """Whether it is one of the words that a field of this type offers beside parts, such as a similarity."""
    return any(get_origin(one) is Literal and name in get_args(one) for one in get_args(kind))


def _joined(role: str, name: str) -> str:
    return f"{role}.{name}" if role else name


def _called(part: Part) -> dict[str, str]:
    """Modules from which the recipe's file imports: CODE where `recipe` comes to call what it takes from there, else TRIAL."""
    tree = ast.parse(Path(part.file).read_text("utf-8"))
    modules: dict[str, str] = {}
    uses: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {alias.asname or alias.name: node.module for alias in node.names}
        defined = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined = [target.id for target in targets if isinstance(target, ast.Name)]
        named = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        for name in defined:
            uses[name] = uses.get(name, set()) | named
    reached, new = {"recipe"}, {"recipe"}
    while new:
        new = set().union(*(uses.get(name, set()) for name in new)) - reached
        reached |= new
    found = dict.fromkeys(modules.values(), TRIAL)
    return found | {module: CODE for name, module in modules.items() if name in reached}
