"""The section of docs/benchmarks.md about the server: how long answers take, one visitor alone and several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

ABOUT = (
    "`nearfar serve` over loopback on {records:,} records of drawn words and vectors of {dimension} numbers. First one visitor types, letter "
    "after letter; then, for {seconds:g} seconds, six visitors at once search, filter, send batches, ask why, and write, each as soon as the last "
    "answer is there. Server (one thread) and visitors share the cores."
)
ALONE, ALL = "type alone", "all"
BOUND = 50.0  # milliseconds in which search as you type should answer

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def serving(record: dict[str, Any] | None, table: Table, origin: Callable[[dict[str, Any]], str]) -> list[str]:
    """The section without its heading; `table` and `origin` are those of the page."""
    if record is None:
        return ["Not measured yet: `make bench`."]
    rows = {row["kind"]: row for row in record["rows"]}
    body = [
        [kind, str(r["clients"]), f"{r['rate']:.1f}", f"{r['p50_ms']:.0f}", f"{r['p99_ms']:.0f}", str(r["errors"])]
        for kind, r in rows.items()
    ]
    start, half, end = rows[ALL]["memory_mb"]
    alone = rows[ALONE]["p99_ms"]
    return [
        ABOUT.format(**record["settings"]),
        table(["what is asked", "visitors", "answers a second", "median, ms", "99th percentile, ms", "errors"], body),
        (
            f"99 of 100 letters of one who types are answered within {alone:.0f} ms "
            f"(at most {BOUND:.0f}: {'reached' if alone < BOUND else '**not reached**'}). Memory of the server: {start:,.0f} MB at the start of the "
            f"load, {half:,.0f} half-way, {end:,.0f} at its end."
        ),
        origin(record),
    ]
