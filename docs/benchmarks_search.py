"""The section of docs/benchmarks.md about searching vectors: recall against queries a second, a table for each size and way of asking."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

OURS, SAME = "nearfar", "usearch graph"
BOUND = 1.3
ABOUT = (
    "Recall@10 against queries a second, on vectors of 256 numbers drawn about centres, one for every 500 (so that there are "
    "clusters): nearfar's index as it comes, beside bare usearch and faiss with the same links and candidates while building. Up to "
    "200,000 vectors nearfar looks at every one; above, a graph of usearch's chooses candidates, whose scores are then exact. Memory is "
    "what stays after building, files that are mapped included; nearfar's index also has its rows in SQLite and is flushed to the disk."
)

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
Row = dict[str, Any]


def searching(record: dict[str, Any] | None, table: Table, origin: Callable[[dict[str, Any]], str]) -> list[str]:
    """The section without its heading; `table` and `origin` are those of the page."""
    if record is None:
        return [ABOUT, "Not measured yet: `make bench`."]
    made = [ABOUT]
    for vectors, asked in sorted({(row["vectors"], row["asked"]) for row in record["rows"]}):
        rows = [row for row in record["rows"] if (row["vectors"], row["asked"]) == (vectors, asked)]
        ours = next((row for row in rows if row["side"] == OURS), None)
        head = ["side", "candidates", "recall@10", "queries a second", f"over {OURS}'s time", "built in, s", "MB"]
        made += [f"### {vectors:,} vectors, queries {asked}", table(head, [line(row, ours) for row in rows])]
        if ours is not None:
            made += verdict(rows, ours)
    return [*made, origin(record)]


def line(row: Row, ours: Row | None) -> list[str]:
    """One side with one number of candidates."""
    return [
        row["side"],
        str(row["candidates"] or ""),
        f"{row['recall']:.4f}",
        f"{1 / each(row):,.0f}",
        "" if ours is None else f"{each(row) / each(ours):.2f}",
        f"{row['build_seconds']:.1f}",
        f"{row['held_mb']:,.0f}",
    ]


def verdict(rows: Sequence[Row], ours: Row) -> list[str]:
    """Ours beside the quickest setting of the bare graph that finds as much but for a thousandth, or else the one that finds most."""
    bare = [row for row in rows if row["side"] == SAME]
    if not bare:
        return []
    enough = [row for row in bare if row["recall"] >= ours["recall"] - 0.001]
    beside = min(enough, key=each) if enough else max(bare, key=lambda row: row["recall"])
    over = each(ours) / each(beside)
    at = (
        "at equal recall"
        if enough
        else f"that finds most, {beside['recall']:.4f} where nearfar finds {ours['recall']:.4f}"
    )
    reached = "reached" if over <= BOUND else "**not reached**"
    return [f"nearfar takes {over:.2f} of the time of the bare graph {at} (at most {BOUND}: {reached})."]


def each(row: Row) -> float:
    """Seconds a query: the median over rounds."""
    return statistics.median(row["seconds"]) / row["queries"]
