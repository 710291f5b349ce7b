"""Runs the application on a socket until it is told to stop: requests in flight are finished, and new ones are not taken."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from nearfar.core.errors import ResourceError, UsageError
from nearfar.server.app import application
from nearfar.server.connection import connection_with
from nearfar.server.guard import LOOPBACK
from nearfar.server.service import Service


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ResourceError for a port that is taken, UsageError for a host or port that there is not."""
    if not 0 <= port <= 65_535:
        raise UsageError(f"{port} is no port", where="--port", remedy="give 1 to 65535, or 0 for any that is free")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except socket.gaierror as error:
        raise UsageError(
            f"there is no host {host!r}", where="--host", remedy="give 127.0.0.1, or an address of this machine"
        ) from error
    except OSError as error:
        raise ResourceError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}",
            where="--port",
            remedy="stop what listens there, or give another port (0: any that is free)",
        ) from error


def run(
    service: Service,
    listening: socket.socket,
    *,
    token: str | None,
    started: Callable[[], None],
    made: Callable[[uvicorn.Server], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C does not wait.

    started   called once requests are answered
    made      is given the server, whose `should_exit` ends it from another thread
    """
    host = listening.getsockname()[0]
    hosts = LOOPBACK if is_loopback(host) else None
    limits = service.limits
    config = uvicorn.Config(
        application(service, token=token, hosts=hosts),
        http=connection_with(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.headers,
        timeout_keep_alive=int(limits.idle),
        timeout_graceful_shutdown=int(limits.stop_within),
    )
    # It warns of every request that it cannot read: whoever knocks would write into the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    server = _Server(config, started)
    made(server)
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        service.close()


class _Server(uvicorn.Server):
    """One that says when it has started, and that ends by returning instead of by the signal that ended it."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._told()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals come to the main thread only
            return

        def stop(number: int, frame: FrameType | None) -> Any:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
