"""The section of docs/benchmarks.md about training the static encoder: pairs a second, and how long it waits for them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

IN_HAND = "records in hand"
ABOUT = (
    "The recipe `pairs` on {trained:,} pairs in its passes, docstrings with their functions. The first figure counts everything from "
    "pairs to weights; the second begins with an encoder whose vocabulary has been chosen; the third is the loop alone: texts in hand are "
    "prepared once, before it."
)

Row = dict[str, Any]
Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def static_training(record: dict[str, Any] | None, table: Table, origin: Callable[[dict[str, Any]], str]) -> list[str]:
    """The section without its heading; `table` and `origin` are those of the page."""
    if record is None:
        return ["Not measured yet: `make bench`."]
    rows = record["rows"]
    body = [
        [
            r["case"],
            *(f"{pace(r, *parts):,.0f}" for parts in (("vocabulary", "seconds"), ("seconds",), ("loop",))),
            f"{statistics.median(r['waited']):.1%}",
            str(len(r["seconds"])),
        ]
        for r in rows
    ]
    head = ["", "pairs a second", "without the vocabulary", "of the loop alone", "waiting for records", "trainings"]
    return [ABOUT.format(trained=rows[0]["trained"]), table(head, body), origin(record)]


def pace(row: Row, *parts: str) -> float:
    """Pairs a second over some of the parts: the median over trainings."""
    return row["trained"] / statistics.median(map(sum, zip(*(row[part] for part in parts), strict=True)))
