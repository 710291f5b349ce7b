"""Task `pair_classification`: pairs of texts that belong together (label 1) or not (0), and dev pairs that choose thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nearfar.evaluation.task import Table, TaskSettings, Work, named
from nearfar.probes.outcome import Outcome
from nearfar.probes.pair_classification import pair_classification

COLUMNS = {"first": "text", "second": "text", "label": "number"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """dev: file of the pairs from which thresholds are chosen; without it there is no accuracy and no F1."""

    dev: str | None = None


def files(work: Work) -> None:
    """Read all files."""
    work.table()
    work.optional("dev")


def measure(work: Work) -> Outcome:
    """Average precision of the cosines, and accuracy at the threshold of the dev pairs."""
    pairs, dev = work.table(), work.optional("dev")
    found = pair_classification(*_vectors(work, pairs), dev=None if dev is None else _vectors(work, dev))
    return named(found, [f"{a} | {b}" for a, b in zip(pairs["first"], pairs["second"], strict=True)])


def _vectors(work: Work, pairs: Table) -> tuple[Any, list[float]]:
    return (work.vectors(pairs["first"], "first"), work.vectors(pairs["second"], "second")), pairs["label"]
