"""What every request passes before a route sees it, and every answer on its way out: who may ask, how much, how long, and what
browsers are told. The body is read here, whole and bounded, so that no route waits for a client.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearfar.server.limits import Limits
from nearfar.server.metrics import Metrics
from nearfar.server.refusal import Refusal, busy
from nearfar.server.table import JSON

LOG = logging.getLogger("nearfar.server")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """ASGI middleware around the routes.

    secret   paths that want the token
    paths    all paths there are: what is counted under its own name
    hosts    names that a browser may know this server by; None: any
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        *,
        token: str | None,
        secret: Collection[str],
        paths: Collection[str],
        hosts: Collection[str] | None,
    ) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self.token = token.encode() if token is not None else None
        self.secret, self.paths, self.hosts = secret, paths, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(send)
        self.metrics.in_flight += 1
        try:
            await self._answered(scope, receive, answer)
        finally:
            self.metrics.in_flight -= 1
            path = scope["path"] if scope["path"] in self.paths else "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            # 499: the client was gone before there was an answer.
            self.metrics.answered(path, method, answer.status or 499, time.perf_counter() - started)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        whole = False
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if self.metrics.in_flight > self.limits.in_flight:
                raise busy(f"{self.limits.in_flight} requests are being answered already")
            self._check_size(scope)
            self._check_sender(scope["path"], headers)
            body = await self._body(headers, receive)
            whole = True
            await self.app(scope, _again(body, receive), answer)
        except Refusal as refusal:
            await answer.refuse(refusal, close=not whole)
        except _Gone:
            return
        except Exception:
            # The client is told nothing of what is inside.
            LOG.exception("a request to %s failed", scope["path"][:200])
            await answer.refuse(
                Refusal(500, "the server has a fault", remedy="its output says more; please report it"), close=not whole
            )

    def _check_size(self, scope: Scope) -> None:
        """Raises Refusal 400: headers that come in one piece were read whole, however long they are."""
        size = len(scope["query_string"]) + len(scope["path"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self.limits.headers:
            raise Refusal(400, f"address and headers are longer than {self.limits.headers:,} bytes", remedy="send less")

    def _check_sender(self, path: str, headers: Mapping[str, str]) -> None:
        """Raises Refusal for a name that is not ours (DNS rebinding), a page of another site, or a wrong token."""
        if self.hosts is not None and _name(headers.get("host", "")) not in self.hosts:
            raise Refusal(
                400,
                "this server is not called so",
                where="host",
                remedy="use 127.0.0.1 or localhost; it answers this machine only",
            )
        if path.startswith("/api/") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal(403, "pages of other sites may not ask this server", where="sec-fetch-site")
        if self.token is not None and path in self.secret:
            kind, _, word = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(word.strip().encode("latin-1"), self.token):
                raise Refusal(
                    401,
                    "this server wants a token" if not word else "the token is wrong",
                    where="authorization",
                    remedy="send authorization: Bearer TOKEN",
                    headers={"www-authenticate": "Bearer"},
                )

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """All of the body. Raises Refusal 413 beyond the limit and 408 where it trickles."""
        limit = self.limits.body
        too_large = Refusal(
            413,
            f"the body is larger than {limit:,} bytes",
            where="body",
            remedy="send less at once, in several requests",
        )
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_within):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise too_large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Refusal(
                408,
                f"the body did not come within {self.limits.body_within:g} seconds",
                where="body",
                remedy="send it at once",
            ) from None


class _Gone(Exception):
    """The client left before its request was whole."""


class _Answer:
    """Sends on, adds the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            there = {name for name, _ in message["headers"]}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]
            if b"cache-control" not in there:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def refuse(self, refusal: Refusal, *, close: bool) -> None:
        """Answer with an error; `close`: what the client still sends is not read."""
        if self.status:
            return
        body = json.dumps(refusal.body(), ensure_ascii=False).encode("utf-8", "replace")
        headers = {
            "content-type": JSON,
            "content-length": str(len(body)),
            **refusal.headers,
            **({"connection": "close"} if close else {}),
        }
        coded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": refusal.status, "headers": coded})
        await self({"type": "http.response.body", "body": body})


def _name(host: str) -> str:
    """The host without its port, in small letters."""
    head, bracket, rest = host.rpartition("]")
    return (head + bracket if bracket and rest[:1] in ("", ":") else host.partition(":")[0]).lower()


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first, and then what the real one has."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
