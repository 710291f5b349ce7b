"""Task `regression`: records with a number each, predicted linearly from their vectors after training on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nearfar.evaluation.task import Table, TaskSettings, Work, named
from nearfar.probes.outcome import Outcome
from nearfar.probes.regression import regression

COLUMNS = {"record": "text", "value": "number"}


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
    """How much of the variance of the test records is explained."""
    test, dev = work.table(), work.optional("dev")
    found = regression(
        *_valued(work, test),
        train=_valued(work, work.table("train")),
        dev=None if dev is None else _valued(work, dev),
    )
    return named(found, test["record"])


def _valued(work: Work, table: Table) -> tuple[Any, list[float]]:
    return work.vectors(table["record"]), table["value"]
