"""Progress of long work: a bar with rate and time left on a terminal, one line at the end of each piece of work elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

        def remember(done: int, total: int, note: str = "") -> None:
            last[0] = f"{done:,} of {total:,}" + (f", {note}" if note else "")

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
