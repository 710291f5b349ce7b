"""Task `multi_label_probe`: records with several labels each (a list, or one text), told by linear classifiers trained on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.evaluation.task import Table, TaskSettings, Work, named
from nearfar.probes.multi_label_probe import multi_label_probe
from nearfar.probes.outcome import Outcome

COLUMNS = {"record": "text", "labels": "texts"}
ROLES = ("record",)


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """train: file of training records, whose labels are the ones there are; dev: of those that choose the strength of the penalty."""

    train: str
    dev: str | None = None


def files(work: Work) -> None:
    """Read all files."""
    for key in ("data", "train", "dev"):
        work.optional(key)


def measure(work: Work) -> Outcome:
    """Average precision and F1 over the labels of the test records."""
    test, train, dev = work.table(), work.table("train"), work.optional("dev")
    place = {label: i for i, label in enumerate(sorted({label for labels in train["labels"] for label in labels}))}
    found = multi_label_probe(
        *_labelled(work, test, place, "data"),
        train=_labelled(work, train, place, "train"),
        dev=None if dev is None else _labelled(work, dev, place, "dev"),
    )
    return named(found, test["record"])


def _labelled(work: Work, table: Table, place: dict[str, int], where: str) -> tuple[Any, np.ndarray]:
    """Vectors, and 1 where a record [n] has a label [c]."""
    made = np.zeros((len(table), len(place)), dtype=np.int64)
    for row, labels in enumerate(table["labels"]):
        for label in labels:
            if label not in place:
                raise DataError(
                    f"no training record has the label {label!r}",
                    where=f"{where}, record {row}, labels",
                    remedy="leave it out, or add records that have it",
                )
            made[row, place[label]] = 1
    return work.vectors(table["record"]), made
