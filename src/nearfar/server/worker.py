"""Threads for an index: models and SQLite are not asynchronous. More than one, so that a batch or a write does not hold up who types.

The loop stays free to refuse, to stream and to stop. At most so many calls wait; a call whose time is over is taken back if it has not
begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from nearfar.server.limits import Limits
from nearfar.server.refusal import Refusal, busy

T = TypeVar("T")


class Worker:
    """Runs calls, as many at once as there are threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._unfinished: set[Future[Any]] = set()
        self._thread = ThreadPoolExecutor(limits.threads, "nearfar-index")

    async def run(self, call: Callable[[], T]) -> T:
        """The value of a call. Raises Refusal 503 where too many wait already, 504 where it takes too long."""
        if len(self._unfinished) >= self.limits.waiting:
            raise busy(f"{self.limits.waiting} requests wait for this index already")
        future = self._thread.submit(call)
        # A call that runs on after its time, or after its client, still occupies a thread, so it counts until it ends.
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        try:
            async with asyncio.timeout(self.limits.answer_within):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Refusal(
                504,
                f"no answer within {self.limits.answer_within:g} seconds",
                remedy="ask for less, or again when the server is less busy",
            ) from None

    def at_once(self, call: Callable[[], T]) -> T:
        """The value of a call before the server runs, waited for: opening, and after it closing."""
        return self._thread.submit(call).result()

    def close(self) -> None:
        """Let the last calls end."""
        self._thread.shutdown(wait=True, cancel_futures=True)
