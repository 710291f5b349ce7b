"""Task `reranking`: queries with candidates of their own, right ones (positive) and wrong ones (negative), lists of texts or one text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar.core.errors import DataError
from nearfar.evaluation.task import TaskSettings, Work
from nearfar.probes.outcome import Outcome
from nearfar.probes.reranking import reranking

COLUMNS = {"query": "text", "positive": "texts", "negative": "texts"}
ROLES = ("query", "document")


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """at: the ranks k of metrics."""

    at: tuple[int, ...] = (10,)


def files(work: Work) -> None:
    """Read all files."""
    work.table()


def measure(work: Work) -> Outcome:
    """Order each query's candidates."""
    rows = work.table()
    right, wrong = rows["positive"], rows["negative"]
    for number, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        if not good or not bad:
            raise DataError(
                "a query without right or without wrong candidates",
                where=f"record {number}",
                remedy="give each query both, or leave it out",
            )
    candidates = [[*good, *bad] for good, bad in zip(right, wrong, strict=True)]
    texts = list(dict.fromkeys(text for line in candidates for text in line))
    place = {text: row for row, text in enumerate(texts)}
    x, y = work.compared(work.vectors(rows["query"], "query")), work.compared(work.vectors(texts, "document"))
    scores = [y[[place[text] for text in line]] @ x[i] for i, line in enumerate(candidates)]
    gains = [np.repeat([1.0, 0.0], [len(good), len(bad)]) for good, bad in zip(right, wrong, strict=True)]
    return reranking(scores, gains, at=work.settings.at, names=work.names(rows["query"]))
