"""Ctrl-C between two steps, never within one: a half-applied update could not be resumed exactly.

The first interrupt is remembered until the step is complete; a second one ends the program at once, as ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Gives `requested()`: whether an interrupt came. Outside the main thread, where no signal arrives, always False."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()

    def remember(number: int, frame: FrameType | None) -> Any:
        if came.is_set():
            signal.default_int_handler(number, frame)
        came.set()

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, remember)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, before)
