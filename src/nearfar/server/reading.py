"""From a request to what its route takes: parameters and body, parsed and checked against the table."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from nearfar.server.refusal import Refusal
from nearfar.server.schema import check
from nearfar.server.table import JSON, Given, Param, Route

PARAMETERS = 64  # of one query string


def given(route: Route, query: bytes, media: str, body: bytes) -> Given:
    """The checked request. Raises Refusal 400, 415 or 422."""
    return Given(_params(route, query), _body(route, media, body))


def _params(route: Route, query: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS, separator="&"
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise Refusal(
            400,
            f"the query string cannot be read: {str(error)[:100]}",
            where="query string",
            remedy="percent-encode texts as UTF-8",
        ) from None
    known = {param.name: param for param in route.params}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise Refusal(
                422, f"{name[:60]!r} is no parameter of this path", where="query string", remedy=f"it takes: {takes}"
            )
        values.setdefault(name, []).append(value)
    return {name: _value(param, values[name]) if name in values else _absent(param) for name, param in known.items()}


def _absent(param: Param) -> Any:
    if param.required:
        raise Refusal(422, f"{param.name} is missing", where="query string", remedy=f"give it: {param.summary}")
    return param.default


def _value(param: Param, texts: list[str]) -> Any:
    kind = param.schema["type"]
    if kind == "array":
        check(texts, param.schema, param.name)
        return texts
    if len(texts) > 1:
        raise Refusal(422, f"{param.name} is given twice", where="query string", remedy="give it once")
    value: Any = texts[0]
    if kind == "integer" and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    elif kind == "boolean" and value in ("true", "false"):
        value = value == "true"
    check(value, param.schema, param.name)
    return value


def _body(route: Route, media: str, body: bytes) -> Any:
    if route.body is None:
        return None
    if media.partition(";")[0].strip().lower() != JSON:
        raise Refusal(415, "the body is not said to be JSON", where="content-type", remedy=f"send content-type: {JSON}")
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            400, f"the body is no JSON: {str(error)[:100]}", where="body", remedy="send one JSON object in UTF-8"
        ) from None
    check(value, route.body, "body")
    return value


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")
