"""Progress of long work: a bar with rate and time left on a terminal; elsewhere a line a minute, and one at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

EVERY = 60.0  # seconds between two lines where there is no terminal: a log of a night stays readable

Update = Callable[..., None]


@contextmanager
def bar(what: str, quiet: bool = False) -> Iterator[Update]:
    """Gives `update(done, total, note="")`; written to standard error, so that results can be piped."""
    started = time.perf_counter()
    if quiet:
        yield lambda *_: None
        return
    if not sys.stderr.isatty():
        last: list[str] = [""]
        told, first = [started], [-1]

        def remember(done: int, total: int, note: str = "") -> None:
            last[0] = f"{done:,} of {total:,}" + (f", {note}" if note else "")
            now = time.perf_counter()
            if first[0] < 0:
                first[0] = done  # of a run that goes on, most may be done already
            elif now - told[0] >= EVERY and done > first[0]:
                told[0] = now
                left = duration((now - started) / (done - first[0]) * (total - done))
                print(f"{what}: {last[0]}, {left} left", file=sys.stderr, flush=True)

        try:
            yield remember
        finally:
            if last[0]:
                print(f"{what}: {last[0]} ({time.perf_counter() - started:.1f} s)", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None, rate="", note="")

        def update(done: int, total: int, note: str = "") -> None:
            elapsed = max(time.perf_counter() - started, 1e-6)
            progress.update(task, completed=done, total=total, rate=f"{done / elapsed:,.0f}/s", note=note)

        yield update


@contextmanager
def step(what: str, quiet: bool = False) -> Iterator[None]:
    """A piece of work without a count: its name and how long it took."""
    started = time.perf_counter()
    yield
    if not quiet:
        print(f"{what} ({time.perf_counter() - started:.1f} s)", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(9.6), duration(95), duration(7500), duration(200_000)
    ('10 s', '1 min 35 s', '2 h 5 min', '2 d 7 h')
    """
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for (name, size), (smaller, part) in pairwise(units):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
