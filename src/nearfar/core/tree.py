"""A tree of frozen dataclasses as JSON and back, and typed overrides of single leaves: `fit.batch_size=512`.

Recipes, saved configurations, claims and the command line share this one file, so a setting means the same everywhere. Names of
parts stay names here; they become objects through `nearfar.core.parts` only.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nearfar.core.errors import DataError, UsageError

T = TypeVar("T")


@lru_cache(maxsize=256)
def hints(cls: type) -> dict[str, Any]:
    """The resolved type of every field."""
    return get_type_hints(cls)


def to_json(node: Any) -> Any:
    """Plain JSON values: dataclasses become objects, tuples lists, a function with a card its name.

    A part of a user's own file becomes {"own": name}: it can be read, but only its file can bring it back.
    """
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return {f.name: to_json(getattr(node, f.name)) for f in dataclasses.fields(node)}
    if isinstance(node, Mapping):
        return {str(k): to_json(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [to_json(v) for v in node]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    return {"own": getattr(node, "__name__", type(node).__name__)}


def from_json(cls: type[T], data: Any, where: str = "") -> T:
    """The dataclass `cls` from what `to_json` gave. Raises DataError naming the place of anything unknown or mistyped."""
    return read_value(cls, data, where or cls.__name__)


def read_value(kind: Any, data: Any, where: str) -> Any:
    """A value of type `kind` from plain JSON values; raises DataError, which says what was expected at `where`."""
    if kind is Any:
        return data
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(args, data, where)
    if origin is Literal:
        if data not in args:
            raise DataError(f"{data!r} is none of {list(args)}", where=where, remedy="choose one of them")
        return data
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _read_dataclass(kind, data, where)
    if origin in (tuple, Sequence):
        if not isinstance(data, (list, tuple)):
            raise DataError(f"expected a list, found {data!r}", where=where, remedy="write [..., ...]")
        inner = args[0] if args else Any
        return tuple(read_value(inner, v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise DataError(f"expected an object, found {data!r}", where=where, remedy='write {"name": value}')
        return {k: read_value(args[1], v, f"{where}.{k}") for k, v in data.items()}
    return _read_leaf(kind, data, where)


def _read_union(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in kinds:
        return None
    error: DataError | None = None
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return read_value(kind, data, where)
        except DataError as problem:
            error = error or problem
    raise error or DataError(f"{data!r} does not fit", where=where)


def _read_dataclass(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise DataError(f"expected an object, found {data!r}", where=where, remedy="write {...}")
    known = hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.init]
    for name in data:
        if name not in names:
            raise DataError(f"unknown setting {name!r}", where=where, remedy=_nearest(str(name), names))
    try:
        return kind(**{k: read_value(known[k], v, f"{where}.{k}") for k, v in data.items()})
    except TypeError as problem:
        raise DataError(f"a setting is missing: {problem}", where=where, remedy=f"give all of {names}") from problem


def _read_leaf(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data)
    if kind in (int, str, bool) and type(data) is kind:
        return data
    if isinstance(data, Mapping) and set(data) == {"own"}:
        raise DataError(
            f"{data['own']!r} is a part of somebody's own file", where=where, remedy="train with that file again"
        )
    raise DataError(
        f"expected {getattr(kind, '__name__', kind)}, found {data!r}", where=where, remedy="correct the value"
    )


def override(tree: T, setting: str) -> T:
    """A copy of the tree with one leaf replaced: `override(recipe, "fit.batch_size=512")`.

    The value is read by the type of the leaf. Raises UsageError that lists the names there are for a misspelt one.
    An item of a tuple is addressed by its `name` or its part (`x.colour_jitter.strength=0.3`), an option of a part directly
    (`encoder.dimension=128`, `objective.rule.margin=0.3`).
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(
            f"{setting!r} sets nothing", where="--set", remedy="write name=value, for instance fit.batch_size=512"
        )
    return _replace(tree, path.strip().split("."), text.strip(), path.strip())


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting of a tree by its dotted name."""
    found: dict[str, Any] = {}
    for name, value in _children(tree, below=bool(prefix)).items():
        path = f"{prefix}{name}"
        found |= leaves(value, path + ".") if _children(value) else {path: value}
    return found


def _children(node: Any, below: bool = False) -> dict[str, Any]:
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return {}
    children: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        named = isinstance(value, tuple) and value and all(hasattr(v, "name") for v in value)
        if named:
            children |= {v.name: v for v in value}
        elif field.name == "name" and below:
            continue  # how an item is addressed is not one of its settings
        elif isinstance(value, Mapping):
            children |= dict(value)
        else:
            children[field.name] = value
    return children


def _replace(node: Any, path: list[str], text: str, whole: str) -> Any:
    head, rest = path[0], path[1:]
    known = hints(type(node))
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if field.name == head and isinstance(value, tuple) and len(rest) > 1:
            return _replace(node, rest, text, whole)
        if field.name == head:
            if not rest:
                changed: Any = parse(known[head], text, whole)
            elif isinstance(value, Mapping):
                changed = {**value, ".".join(rest): _loose(text)}
            elif dataclasses.is_dataclass(value):
                changed = _replace(value, rest, text, whole)
            elif isinstance(value, str) and (holder := _holder(known[head])) is not None:
                changed = _replace(holder(value), rest, text, whole)
            else:
                raise UsageError(f"{head!r} has no parts", where=whole, remedy=f"set {head} itself")
            return dataclasses.replace(node, **{head: changed})
        if isinstance(value, tuple) and rest:
            held = [_held(v, known[field.name]) if _called(v) == head else None for v in value]
            items = [v if h is None else _replace(h, rest, text, whole) for v, h in zip(value, held, strict=True)]
            if any(a is not b for a, b in zip(items, value, strict=True)):
                return dataclasses.replace(node, **{field.name: tuple(items)})
    options = [f.name for f in dataclasses.fields(node) if isinstance(getattr(node, f.name), Mapping)]
    if options and not rest:
        return dataclasses.replace(node, **{options[0]: {**getattr(node, options[0]), head: _loose(text)}})
    raise UsageError(f"there is no setting {head!r}", where=whole, remedy=_nearest(head, list(_children(node))))


def _called(item: Any) -> Any:
    """What an item of a tuple is addressed by: its name, or that of its part."""
    return item if isinstance(item, str) else getattr(item, "name", None) or getattr(item, "part", None)


def _held(item: Any, kind: Any) -> Any:
    """An item that has settings: a part that is a name alone becomes one with options, where the tuple may hold such."""
    holder = next(filter(None, map(_holder, get_args(kind))), None) if isinstance(item, str) else None
    return holder(item) if holder is not None else None if isinstance(item, str) else item


def _holder(kind: Any) -> type | None:
    """The dataclass that a field may hold instead of a name: a part with options, `Use`, where so far there is its name alone."""
    return next((k for k in get_args(kind) if dataclasses.is_dataclass(k) and isinstance(k, type)), None)


def parse(kind: Any, text: str, where: str = "") -> Any:
    """A value of type `kind` from text: `true`, `12`, `1e-3`, `none`, JSON for lists and objects, else the text itself."""
    value = _loose(text)
    try:
        return read_value(kind, value, where)
    except DataError as problem:
        if value is not text:
            try:
                return read_value(kind, text, where)
            except DataError:
                pass
        raise UsageError(f"{text!r}: {problem.what}", where=where, remedy=problem.remedy) from None


def _loose(text: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    tuple_like = text.startswith("(") and text.endswith(")")  # as Python shows it
    found = f"[{text[1:-1].rstrip().rstrip(',')}]" if tuple_like else text
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else found)
    except ValueError:
        return text


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return (f"did you mean {near[0]!r}? " if near else "") + f"there are {', '.join(sorted(names))}"
