"""Task `next_item`: sequences of items, and the item that came next, ranked among all items.

A model of sequences (`self_attention`, `gru`) is given the sequences as lists of item numbers from 1, and scores items by its own table.
With `items`, a file of ids and texts, any model of texts will do: a sequence is then the texts of its items one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.evaluation.task import Table, TaskSettings, Work
from nearfar.probes.next_item import next_item
from nearfar.probes.outcome import Outcome
from nearfar.probes.scores import vector_scores

COLUMNS = {"sequence": "any", "next": "any", "id": "any", "item": "text"}
ROLES = ("sequence", "item")


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Keys beyond those of every task.

    items    file of ids and texts of all items; without, items are numbers of the model's own table
    between  what stands between two texts of a sequence
    repeats  whether an item may come again; if not, those of its sequence leave the ranking
    at       the ranks k of metrics
    """

    items: str | None = None
    between: str = ", "
    repeats: bool = True
    at: tuple[int, ...] = (5, 10, 20)


def files(work: Work) -> None:
    """Read all files."""
    work.table(roles=("sequence", "next"))
    work.optional("items", ("id", "item"))


def measure(work: Work) -> Outcome:
    """Where the next item stands among all."""
    asked, texts = work.table(roles=("sequence", "next")), work.optional("items", ("id", "item"))
    if texts is None:
        items, cosine = work.items(), False
        place = {str(number + 1): number for number in range(len(items))}
    else:
        items, cosine = work.vectors(texts["item"], "item"), work.cosine
        place = {str(name): row for row, name in enumerate(texts["id"])}
        if len(place) < len(texts):
            raise DataError("two items have the same id", where="items", remedy="give each its own")
    sequences = [_rows(sequence, place, f"record {i}, sequence") for i, sequence in enumerate(asked["sequence"])]
    target = [_rows([item], place, f"record {i}, next")[0] for i, item in enumerate(asked["next"])]
    return next_item(
        vector_scores(work.vectors(_records(work, sequences, texts), "sequence"), items, cosine=cosine),
        np.array(target, dtype=np.int64),
        seen=None if work.settings.repeats else [sorted(set(sequence)) for sequence in sequences],
        at=work.settings.at,
        names=work.names(" ".join(map(str, sequence)) for sequence in asked["sequence"]),
    )


def _records(work: Work, sequences: list[list[int]], texts: Table | None) -> list[Any]:
    """What the model is given: item numbers from 1, or one text."""
    if texts is None:
        return [[row + 1 for row in sequence] for sequence in sequences]
    return [work.settings.between.join(texts["item"][row] for row in sequence) for sequence in sequences]


def _rows(sequence: Any, place: dict[str, int], where: str) -> list[int]:
    if not isinstance(sequence, (list, tuple)) or not sequence:
        raise DataError(f"{sequence!r} is no sequence", where=where, remedy="give a list of items, one or more")
    for item in sequence:
        if str(item) not in place:
            raise DataError(
                f"there is no item {item!r}",
                where=where,
                remedy="name items by the ids of `items`; without that file, by numbers from 1 of the model's own table",
            )
    return [place[str(item)] for item in sequence]
