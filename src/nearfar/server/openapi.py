"""The OpenAPI document of a table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nearfar
from nearfar.server.table import JSON, Param, Route

REASONS = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "There is no such row.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "Something in the request has the wrong form or value.",
    500: "The index is damaged, or the server has a fault.",
    503: "Too much is asked at once.",
    504: "There was no answer in time.",
}
EVERYWHERE = (400, 403, 422, 500, 503, 504)
WITH_BODY = (408, 413, 415)
ERROR = {
    "type": "object",
    "required": ["what", "where", "remedy"],
    "properties": {name: {"type": "string"} for name in ("what", "where", "remedy")},
}


def document(routes: Sequence[Route], *, token: bool) -> dict[str, Any]:
    """OpenAPI 3.1; `token`: requests need one."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, token)
    components: dict[str, Any] = {"schemas": {"Error": ERROR}}
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nearfar",
            "version": nearfar.__version__,
            "summary": "Search an index by meaning and by words.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }


def _operation(route: Route, token: bool) -> dict[str, Any]:
    statuses = {*EVERYWHERE, *route.errors, *(WITH_BODY if route.body else ())}
    if token and not route.open:
        statuses.add(401)
    answer = {"description": "Done.", "content": {route.media.partition(";")[0]: {"schema": route.answer}}}
    made: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{route.path.strip('/').replace('/', '_').replace('.', '_')}",
        "summary": route.summary,
        "responses": {"200": answer, **{str(status): _refusal(status) for status in sorted(statuses)}},
    }
    if route.params:
        made["parameters"] = [_parameter(param) for param in route.params]
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": route.body}}}
    if token:
        made["security"] = [] if route.open else [{"token": []}]
    return made


def _parameter(param: Param) -> dict[str, Any]:
    schema = dict(param.schema)
    if not param.required and param.default not in (None, ()):
        schema["default"] = param.default
    made = {
        "name": param.name,
        "in": "query",
        "description": param.summary,
        "required": param.required,
        "schema": schema,
    }
    return made | ({"style": "form", "explode": True} if schema.get("type") == "array" else {})


def _refusal(status: int) -> dict[str, Any]:
    return {
        "description": REASONS[status],
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
