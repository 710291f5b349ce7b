"""Task `linear_probe`: labelled records, classified by a linear classifier that is trained on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nearfar.evaluation.task import Table, TaskSettings, Work, named
from nearfar.probes.linear_probe import linear_probe
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "label": "any"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """train: file of training records; dev: of those that choose the strength of the penalty, else folds of the training records."""

    train: str
    dev: str | None = None


def files(work: Work) -> None:
    """Read all files."""
    for key in ("data", "train", "dev"):
        work.optional(key)


def measure(work: Work) -> Outcome:
    """Accuracy on the test records."""
    test, dev = work.table(), work.optional("dev")
    found = linear_probe(
        *_labelled(work, test),
        train=_labelled(work, work.table("train")),
        dev=None if dev is None else _labelled(work, dev),
    )
    return named(found, test["record"])


def _labelled(work: Work, table: Table) -> tuple[Any, list[str]]:
    return work.vectors(table["record"]), work.labels(table)
