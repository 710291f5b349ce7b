"""Drops clients that hold a connection and do not get on: headers that never end, answers that nobody reads, too many at once.

The library below has one clock, for quiet connections between two requests, and every byte sets it back. These do not go back.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from nearfar.server.limits import Limits

UNREADABLE = {
    "what": "this is no HTTP request that the server reads, or its headers are too long",
    "where": "the request's first lines",
    "remedy": "send HTTP/1.1 with short headers",
}


class Connection(H11Protocol):
    """One connection with deadlines; `limits` is set by `connection_with`."""

    limits = Limits()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._headers: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # Head and body are written apart. Without this the system holds the body back until the client has acknowledged the head,
        # which it does 40 ms later. asyncio sets it for sockets whose protocol says TCP, and that of `socket.create_server` says 0.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # With any byte left in the buffer `pause_writing` is called: so a reader that takes nothing is noticed even by a short answer.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop("_headers")
        self._stop("_reader")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.limits.read_within, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("_reader")

    def send_400_response(self, msg: str) -> None:
        """The library's answer to what it cannot read, as JSON; nothing where an answer is under way already."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = json.dumps(UNREADABLE).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """The clock runs from the first byte of a request (or from the connection) until its headers are whole."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop("_headers")
        elif self._headers is None and not self.transport.is_closing():
            self._headers = self.loop.call_later(self.limits.headers_within, self.transport.abort)

    def _stop(self, name: str) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)


def connection_with(limits: Limits) -> type[Connection]:
    """The class of connections with these limits: the server below wants a class, not an object."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
