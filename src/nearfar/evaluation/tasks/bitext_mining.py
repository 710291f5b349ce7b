"""Task `bitext_mining`: sentences of two languages, whose translations are to be found among all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.evaluation.task import Table, TaskSettings, Work
from nearfar.probes.bitext_mining import bitext_mining
from nearfar.probes.outcome import Outcome

COLUMNS = {"first": "text", "second": "text"}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """dev: file of the pairs that choose the threshold of mining; without it there is accuracy only; k: neighbours of the margin."""

    dev: str | None = None
    k: int = 4


def files(work: Work) -> None:
    """Read all files."""
    work.table()
    work.optional("dev")


def measure(work: Work) -> Outcome:
    """Whether the sentences of a pair propose each other."""
    rows, dev = work.table(), work.optional("dev")
    return bitext_mining(
        *_mined(work, rows),
        dev=None if dev is None else _mined(work, dev),
        k=work.settings.k,
        names=work.names(dict.fromkeys(rows["first"])),
    )


def _mined(work: Work, rows: Table) -> tuple[Any, Any, np.ndarray]:
    """Vectors of the distinct sentences of both sides, and the pairs of their rows."""
    first, second = ({text: row for row, text in enumerate(dict.fromkeys(rows[role]))} for role in COLUMNS)
    pairs = [(first[a], second[b]) for a, b in zip(rows["first"], rows["second"], strict=True)]
    return work.vectors(list(first), "first"), work.vectors(list(second), "second"), np.array(pairs)
