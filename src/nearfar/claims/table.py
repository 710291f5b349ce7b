"""All stored claims as rows, with the false discovery rate over them: of many verdicts, some come by chance.

q is the Benjamini-Hochberg value of a claim's largest p value: among the claims with a q up to 0.05, one in twenty is expected to be
there by chance. An equivalence has none: its verdict rests on an interval that holds no difference, not on one that excludes it.
Source: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nearfar.claims.record import ClaimRecord


@dataclass(frozen=True)
class ClaimRow:
    """One claim: its outcome in a line. `q` is None where no comparison of it tests a difference."""

    name: str
    record: ClaimRecord
    q: float | None


def claim_rows(records: Mapping[str, ClaimRecord]) -> list[ClaimRow]:
    """A row a record, by name."""
    tested = {name: p for name, record in records.items() if (p := _p_value(record)) is not None}
    order = sorted(tested, key=lambda name: tested[name])
    q: dict[str, float] = {}
    least = 1.0
    for rank in range(len(order), 0, -1):
        name = order[rank - 1]
        least = min(least, tested[name] * len(order) / rank)
        q[name] = least
    return [ClaimRow(name, records[name], q.get(name)) for name in sorted(records)]


def _p_value(record: ClaimRecord) -> float | None:
    """The largest of its comparisons': a claim of several holds if all do."""
    tested = [float(c["p_value"]) for c in record.comparisons if ">" in c["comparison"]]
    return max(tested) if tested and record.verdict else None


def difference(comparison: Mapping[str, object]) -> str:
    """A comparison in words: "ours > rival: +0.031 [+0.012, +0.050]"."""
    numbers = [f"{comparison[name]:+.3f}" for name in ("difference", "low", "high")]
    return f"{comparison['comparison']}: {numbers[0]} [{numbers[1]}, {numbers[2]}]"
