"""The section of docs/benchmarks.md about decoders: a table for each model, times over greedy search's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

GREEDY = "greedy"
TITLES = {
    "stories": "a model of characters, 0.9 million weights",
    "llama": "8 layers of 512, a vocabulary of 32,000, 44 million random weights",
}
ABOUT = (
    "What a token costs with a decoder by contrast, beside greedy search of transformers with the same model: one batch of prompts "
    "of unequal length, keys and values kept. A step is one token for each prompt. The amateur has two layers of half the width; *16 "
    "tokens* is the model as its own amateur, which reads its last 16 tokens anew; contrastive search reads 5 candidates a token."
)

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def decoding(record: dict[str, Any] | None, table: Table, origin: Callable[[dict[str, Any]], str]) -> list[str]:
    """The section without its heading; `table` and `origin` are those of the page."""
    if record is None:
        return [ABOUT, "Not measured yet: `make bench` with `NEARFAR_DATA` set."]
    made = [ABOUT]
    for model in dict.fromkeys(row["model"] for row in record["rows"]):
        rows = [row for row in record["rows"] if row["model"] == model]
        steps = {row["way"]: 1000 * statistics.median(row["seconds"]) / row["new"] for row in rows}
        body = [
            [way, f"{value:.2f}", f"{value / steps[GREEDY]:.2f}", str(len(row["seconds"]))]
            for row, (way, value) in zip(rows, steps.items(), strict=True)
        ]
        made += [
            f"### {TITLES[model]}: {rows[0]['prompts']} prompts, {rows[0]['new']} new tokens each",
            table(["way", "ms a step", "over greedy", "rounds"], body),
        ]
    return [*made, origin(record)]
