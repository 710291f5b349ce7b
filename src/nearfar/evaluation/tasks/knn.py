"""Task `knn`: labelled records, classified by their neighbours among training records, or among themselves."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.knn import knn
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "label": "any"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """train: file of the neighbours, else each record is left out in turn; k: of them."""

    train: str | None = None
    k: int = 20


def files(work: Work) -> None:
    """Read all files."""
    work.table()
    work.optional("train")


def measure(work: Work) -> Outcome:
    """Accuracy of the vote of the nearest."""
    test, train = work.table(), work.optional("train")
    base = None if train is None else (work.vectors(train["record"]), work.labels(train))
    found = knn(work.vectors(test["record"]), work.labels(test), train=base, k=work.settings.k)
    return named(found, test["record"])
