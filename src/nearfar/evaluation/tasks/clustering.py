"""Task `clustering`: labelled records, clustered without their labels."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.clustering import clustering
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "label": "any"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """k: clusters, 0 for as many as there are classes; seeds: starts, over which figures are averaged."""

    k: int = 0
    seeds: int = 5


def files(work: Work) -> None:
    """Read all files."""
    work.table()


def measure(work: Work) -> Outcome:
    """Agreement of clusters and labels."""
    records, chosen = work.table(), work.settings
    found = clustering(work.vectors(records["record"]), work.labels(records), k=chosen.k, seeds=chosen.seeds)
    return named(found, records["record"])
