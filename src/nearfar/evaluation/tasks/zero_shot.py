"""Task `zero_shot`: labelled records, classified by descriptions of the classes that no training has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nearfar.core.errors import DataError
from nearfar.evaluation.task import TaskSettings, Work, named
from nearfar.probes.outcome import Outcome
from nearfar.probes.zero_shot import zero_shot

COLUMNS = {"record": "text", "label": "any"}
ROLES = ("record", "description")


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """descriptions: class -> texts, as many for each; or templates, in which {} stands for the label of each class in the data."""

    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    templates: tuple[str, ...] = ("{}",)


def files(work: Work) -> None:
    """Read all files."""
    work.table()


def measure(work: Work) -> Outcome:
    """Accuracy of the class with the nearest descriptions."""
    records, chosen = work.table(), work.settings
    labels = work.labels(records)
    told = chosen.descriptions or {c: [t.replace("{}", c) for t in chosen.templates] for c in sorted(set(labels))}
    if len({len(texts) for texts in told.values()}) != 1 or not next(iter(told.values())):
        raise DataError(
            f"the classes have {sorted({len(texts) for texts in told.values()})} descriptions",
            where="descriptions",
            remedy="give each class as many, one or more",
        )
    vectors = work.vectors([text for texts in told.values() for text in texts], "description")
    found = zero_shot(
        work.vectors(records["record"]),
        labels,
        prompts=vectors.reshape(len(told), -1, vectors.shape[1]),
        classes=list(told),
    )
    return named(found, records["record"])
