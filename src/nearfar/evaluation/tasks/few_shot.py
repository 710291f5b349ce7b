"""Task `few_shot`: labelled records, from which episodes of few classes with few records each are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import TaskSettings, Work
from nearfar.probes.few_shot import few_shot
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "label": "any"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Classes of an episode, records of a class to learn from and to classify, episodes, and the seed that draws them."""

    ways: int = 5
    shots: int = 5
    queries: int = 15
    episodes: int = 600
    seed: int = 0


def files(work: Work) -> None:
    """Read all files."""
    work.table()


def measure(work: Work) -> Outcome:
    """Accuracy of each episode."""
    records, chosen = work.table(), work.settings
    return few_shot(
        work.vectors(records["record"]),
        work.labels(records),
        ways=chosen.ways,
        shots=chosen.shots,
        queries=chosen.queries,
        episodes=chosen.episodes,
        seed=chosen.seed,
    )
