"""Task `anomaly`: records of which some (label 1) are unlike the normal ones, which stand in a file of their own."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.anomaly import anomaly
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "anomalous": "number"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """train: file of normal records, of which only the texts are read; k: which of the nearest of them says how far a record is."""

    train: str
    k: int = 1


def files(work: Work) -> None:
    """Read all files."""
    work.table()
    work.table("train", ["record"])


def measure(work: Work) -> Outcome:
    """Whether anomalies are farther from the normal records than the rest."""
    records, normal = work.table(), work.table("train", ["record"])
    found = anomaly(
        work.vectors(records["record"]),
        records["anomalous"],
        normal=work.vectors(normal["record"]),
        k=work.settings.k,
    )
    return named(found, records["record"])
