"""The section of docs/benchmarks.md about searching vectors: recall against queries a second, a table for each size and way of asking."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

OURS, GRAPH, EXACT = "nearfar", "usearch graph", "usearch exact"
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
    """Ours beside the quickest bare usearch that finds as much but for a thousandth; and what its graph does that finds less."""
    graphs, exact = ([row for row in rows if row["side"] == side] for side in (GRAPH, EXACT))
    if not graphs or not exact:
        return []
    beside = min((row for row in graphs + exact if row["recall"] >= ours["recall"] - 0.001), key=each)
    over = each(ours) / each(beside)
    reached = "reached" if over <= BOUND else "**not reached**"
    made = f"nearfar takes {over:.2f} of the time of bare usearch at equal recall ({beside['side']}; at most {BOUND}: {reached})."
    if beside in exact:
        most = max(graphs, key=lambda row: row["recall"])
        made += (
            f" The graph that finds most, {most['recall']:.4f}, takes {each(most) / each(ours):.2f} of nearfar's time."
        )
    return [made]


def each(row: Row) -> float:
    """Seconds a query: the median over rounds."""
    return statistics.median(row["seconds"]) / row["queries"]
