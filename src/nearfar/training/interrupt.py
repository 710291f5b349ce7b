"""Ctrl-C and SIGTERM between two steps, never within one: a half-applied update could not be resumed exactly.

The first signal is remembered until the step is complete; then the training writes a checkpoint and ends. A second Ctrl-C ends it
at once. SIGTERM is how schedulers ask, some more than once, and none of them is at once: who cannot wait sends SIGKILL. Among
several processes a second Ctrl-C is not at once either: launchers pass on what the terminal has sent to all already, and one that
left in the middle of a step would leave the others waiting.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interrupts_deferred(together: bool = False) -> Iterator[Callable[[], bool]]:
    """Gives `requested()`: whether a signal came; `together` with other processes. Outside the main thread always False.

    A handler of SIGTERM that somebody else has set is left in its place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()

    def remember(number: int, frame: FrameType | None) -> Any:
        if came.is_set() and number == signal.SIGINT and not together:
            signal.default_int_handler(number, frame)
        came.set()

    taken = [signal.SIGINT]
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        taken.append(signal.SIGTERM)
    before = {number: signal.signal(number, remember) for number in taken}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
