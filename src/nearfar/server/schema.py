"""Checks a value against a JSON schema: the same schema that the API's document shows, so that the two cannot disagree.

Only the words that our own schemas use: type, enum, pattern, minLength, maxLength, minimum, maximum, items, minItems, maxItems,
properties, required, additionalProperties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nearfar.server.refusal import Refusal

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def check(value: Any, schema: Schema, where: str) -> None:
    """Raises Refusal 422 that names the place of the first value that does not fit.

    >>> check({"k": 3}, {"type": "object", "properties": {"k": {"type": "integer", "maximum": 5}}}, "body")
    >>> check({"k": 9}, {"type": "object", "properties": {"k": {"type": "integer", "maximum": 5}}}, "body")
    Traceback (most recent call last):
    nearfar.server.refusal.Refusal: 9 is above 5
    """
    kinds = schema.get("type")
    if kinds is not None and not _is(value, kinds):
        raise _refused(f"this is {_name(value)}, not {_names(kinds)}", where)
    if "enum" in schema and value not in schema["enum"]:
        raise _refused(f"{_short(value)} is none of {', '.join(map(str, schema['enum']))}", where)
    if isinstance(value, str):
        _check_text(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            raise _refused(f"{value} is below {schema['minimum']}", where)
        if value > schema.get("maximum", value):
            raise _refused(f"{value} is above {schema['maximum']}", where)
    elif isinstance(value, list):
        _check_list(value, schema, where)
    elif isinstance(value, dict):
        _check_object(value, schema, where)


def _check_text(value: str, schema: Schema, where: str) -> None:
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _refused("the text holds half a surrogate pair, which is no letter", where)
    if len(value) < schema.get("minLength", 0):
        raise _refused("this is empty" if not value else "this is too short", where)
    if len(value) > schema.get("maxLength", len(value)):
        raise _refused(f"{len(value):,} letters; at most {schema['maxLength']:,} are taken", where)
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise _refused(f"{_short(value)} has not the form {schema['pattern']}", where)


def _check_list(value: list[Any], schema: Schema, where: str) -> None:
    if len(value) < schema.get("minItems", 0):
        raise _refused(f"at least {schema['minItems']} must be given", where)
    if len(value) > schema.get("maxItems", len(value)):
        raise _refused(f"{len(value):,} are given; at most {schema['maxItems']:,} are taken", where)
    for i, item in enumerate(value):
        check(item, schema.get("items", {}), f"{where}[{i}]")


def _check_object(value: dict[str, Any], schema: Schema, where: str) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise _refused(f"{name} is missing", where)
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in value.items():
        _check_text(name, {}, where)
        if name in known:
            check(item, known[name], f"{where}.{name}")
        elif others is False:
            raise _refused(f"{_short(name)} is not known here; known: {', '.join(known)}", where)
        elif isinstance(others, Mapping):
            check(item, others, f"{where}.{name[:60]}")


def _is(value: Any, kinds: str | Sequence[str]) -> bool:
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return True  # 1.0 is a whole number of JSON
    return any(isinstance(value, _TYPES[kind]) for kind in kinds)


def _name(value: Any) -> str:
    return next(
        kind for kind in ("boolean", "null", "string", "integer", "number", "array", "object") if _is(value, kind)
    )


def _names(kinds: str | Sequence[str]) -> str:
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _refused(what: str, where: str) -> Refusal:
    return Refusal(422, what, where=where, remedy="GET /openapi.json says what is taken")
