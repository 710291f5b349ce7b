"""Task `sts`: pairs of texts with a gold score, measured by the probe of that name."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.outcome import Outcome
from nearfar.probes.sts import sts

COLUMNS = {"first": "text", "second": "text", "score": "number"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """No further keys."""


def files(work: Work) -> None:
    """Read all files."""
    work.table()


def measure(work: Work) -> Outcome:
    """Rank correlation of cosines with the gold scores."""
    pairs = work.table()
    found = sts((work.vectors(pairs["first"], "first"), work.vectors(pairs["second"], "second")), pairs["score"])
    return named(found, [f"{a} | {b}" for a, b in zip(pairs["first"], pairs["second"], strict=True)])
