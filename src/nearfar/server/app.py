"""The ASGI application: routes and page files of a service, behind the guard."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Endpoint

from nearfar.server.guard import Guard
from nearfar.server.pages import page_files
from nearfar.server.reading import given
from nearfar.server.refusal import Refusal
from nearfar.server.service import Service
from nearfar.server.table import JSON, Route


def application(service: Service, *, token: str | None = None, hosts: Collection[str] | None = None) -> Guard:
    """The application of a service.

    token   what `authorization: Bearer` must say; the page itself and /health are open
    hosts   names that this server answers to, such as "localhost"; None: any
    """
    pages = page_files()
    by_path: dict[str, dict[str, Route]] = {}
    for route in service.routes:
        by_path.setdefault(route.path, {})[route.method] = route
    endpoints = [
        Endpoint(path, _endpoint(methods), methods=list(methods), include_in_schema=False)
        for path, methods in by_path.items()
    ]
    endpoints += [
        Endpoint(path, _page(content, media), include_in_schema=False) for path, (content, media) in pages.items()
    ]
    app = Starlette(
        routes=endpoints, exception_handlers={HTTPException: _unrouted, Refusal: _refused, Exception: _faulty}
    )
    app.router.redirect_slashes = False
    secret = {route.path for route in service.routes if not route.open}
    return Guard(
        app, service.limits, service.metrics, token=token, secret=secret, paths={*by_path, *pages}, hosts=hosts
    )


def _endpoint(methods: Mapping[str, Route]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        route = methods["GET" if request.method == "HEAD" else request.method]
        asked = given(
            route, request.scope["query_string"], request.headers.get("content-type", ""), await request.body()
        )
        made = await route.handler(asked)
        return Response(made if isinstance(made, str) else _json(made), media_type=route.media)

    return answer


def _page(content: bytes, media: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(content, headers={"content-type": media, "cache-control": "no-cache"})

    return answer


def _json(value: Any) -> bytes:
    # Rows may hold half a surrogate pair, which UTF-8 has not.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Response(_json(error.body()), error.status, error.headers, JSON)


async def _faulty(request: Request, _: Exception) -> Response:
    """What nobody foresaw; the guard writes it down, and the client is told nothing of what is inside."""
    return await _refused(
        request, Refusal(500, "the server has a fault", remedy="its output says more; please report it")
    )


async def _unrouted(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = headers.get("Allow", "")
        refusal = Refusal(405, f"{request.method[:20]} is not taken here", where="method", remedy=f"it takes {allowed}")
    else:
        refusal = Refusal(404, "there is no such path", where="path", remedy="GET /openapi.json lists the paths")
    refusal.headers = headers
    return await _refused(request, refusal)
