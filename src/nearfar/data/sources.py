"""`sources`: several data sets as one `Records`, with a column that tells them apart and prompts of each its own.

Nothing is copied: a joined field asks the part that an item lies in, so parts that are read from disk stay there. Which batches
the sources then share, and in what proportion, is `Batching`; the weights given here are what it takes unless it says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.lazy import lazy_pairs
from nearfar.data.pair_table import PairTable
from nearfar.data.pairs import pairs
from nearfar.data.records import Note, Records, Taken

SOURCE, WEIGHT = "source", "source_weight"
NEGATIVES, DOCUMENT = "negatives", "document"

Prompts = Mapping[str, Mapping[str, str]]


def sources(
    inputs: Mapping[str, Any],
    *,
    weights: Mapping[str, float] | None = None,
    prompts: Prompts | None = None,
    lazy: bool = False,
) -> Records:
    """All records of several sources, one source after the other, with a column `source`.

    inputs   by name: `Records`, a table of pairs, or what `nf.pairs` reads (a path, tuples, a DataFrame, ...)
    weights  share of the training by name, kept in the column `source_weight`; None: by the number of records
    prompts  by name and field, a text that is put before every text of it: {"nli": {"query": "query: "}}. Hard negatives get the
             prompt of documents, unless they have one of their own
    lazy     read paths from disk when asked for (`lazy_pairs`) instead of into memory

    `source` holds a 63-bit id of the name: `nearfar.core.ids.string_ids`. Columns of ids are those of the texts without prompts, so
    a text that two sources have is one text. Columns that not every source has are left out, with a note; a field that not every
    source has is an error, but for `negatives`, which are then empty. Columns that hold record numbers (mined negatives) mean
    records of their own source: mine after joining.

    Errors: UsageError for a name in `weights` or `prompts` that is no source, or for weights that leave one out; DataError for
    fields that differ, and for a prompt before what is no text.

    >>> records = sources({"nli": [("a", "b"), ("c", "d")], "qa": [("e", "f"), ("g", "h")]}, prompts={"qa": {"query": "Q: "}})
    >>> records.many("query", [0, 2]), len(set(records.columns["source"].tolist()))
    (['a', 'Q: e'], 2)
    """
    if not inputs:
        raise UsageError("no sources", where="inputs", remedy='give at least one: {"name": data}')
    prompts = prompts or {}
    _check_names(inputs, prompts, "prompts")
    if weights is not None:
        _check_names(inputs, weights, "weights")
        if missing := sorted(set(inputs) - set(weights)):
            raise UsageError(
                f"{missing[0]!r} has no weight", where="weights", remedy="give every source one, or none any"
            )
        if not all(0 < weight < float("inf") for weight in weights.values()):
            raise UsageError(
                "a weight that is not above zero", where="weights", remedy="leave a source out of the inputs"
            )
    parts = {name: _read(name, given, lazy) for name, given in inputs.items()}
    names = _fields(parts)
    for name, chosen in prompts.items():
        for field in chosen:
            if field not in names:
                remedy = f"the fields are {', '.join(names)}"
                raise UsageError(
                    f"a prompt for {field!r}, which is no field", where=f"prompts of {name}", remedy=remedy
                )
    fields = {field: _joined(field, parts, prompts) for field in names}
    columns, notes = _columns(parts)
    sizes = [len(part) for part in parts.values()]
    columns[SOURCE] = np.repeat(string_ids(parts), sizes)
    if weights is not None:
        columns[WEIGHT] = np.repeat(np.array([float(weights[name]) for name in parts]), sizes)
    return Records(
        fields, columns, f"{len(parts)} sources: {', '.join(parts)}", notes, _digest(parts, prompts, weights)
    )


class Joined(Sequence[Any]):
    """Sequences end to end, each with what is put before its texts; none of them is copied."""

    def __init__(self, parts: Sequence[Sequence[Any]], prompts: Sequence[str], names: Sequence[str]) -> None:
        self._parts, self._prompts, self._names = parts, prompts, names
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Any) -> Any:
        """Item number `index`, or the sequence of those of a slice."""
        if isinstance(index, slice):
            return Taken(self, np.arange(len(self))[index])
        number = range(len(self))[index]
        part = int(np.searchsorted(self._ends, number, side="right"))
        return self._prompted(part, self._parts[part][number - self._first(part)])

    def many(self, index: Sequence[int]) -> list[Any]:
        """The items at `index`, each part asked once."""
        numbers = np.asarray(index, dtype=np.int64)
        of = np.searchsorted(self._ends, numbers, side="right")
        made: list[Any] = [None] * len(numbers)
        for part in np.unique(of).tolist():
            places = np.flatnonzero(of == part)
            values, own = self._parts[part], (numbers[places] - self._first(part)).tolist()
            reader = getattr(values, "many", None)
            items = reader(own) if reader is not None else [values[i] for i in own]
            for place, item in zip(places.tolist(), items, strict=True):
                made[place] = self._prompted(part, item)
        return made

    @property
    def unprompted(self) -> Joined:
        """The same without prompts: equal texts of two sources are equal there."""
        return Joined(self._parts, [""] * len(self._parts), self._names)

    def _first(self, part: int) -> int:
        return int(self._ends[part - 1]) if part else 0

    def _prompted(self, part: int, item: Any) -> Any:
        prompt = self._prompts[part]
        if not prompt:
            return item
        if isinstance(item, str):
            return prompt + item
        if isinstance(item, (list, tuple)) and all(isinstance(text, str) for text in item):
            return [prompt + text for text in item]
        raise DataError(
            f"a prompt before {type(item).__name__}, which is no text",
            where=f"source {self._names[part]}",
            remedy="give prompts for fields of texts alone",
        )


class _Empty(Sequence[Any]):
    """n times no negatives."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        numbers = range(self._size)[index]  # raises what a list would
        return [[] for _ in numbers] if isinstance(numbers, range) else []


def _read(name: str, given: Any, lazy: bool) -> Records:
    if isinstance(given, Records):
        return given
    try:
        if lazy and not isinstance(given, PairTable):
            return lazy_pairs(given)
        return pairs(given).records()
    except DataError as error:
        where = ", ".join(filter(None, (f"source {name}", error.where)))
        raise DataError(error.what, where=where, remedy=error.remedy) from error


def _check_names(inputs: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in inputs:
            raise UsageError(f"there is no source {name!r}", where=where, remedy=f"there are {', '.join(inputs)}")


def _fields(parts: Mapping[str, Records]) -> list[str]:
    """The fields of the whole, in the order of the first part that has them."""
    every = list(dict.fromkeys(field for part in parts.values() for field in part.fields))
    for name, part in parts.items():
        for field in every:
            if field not in part.fields and field != NEGATIVES:
                raise DataError(
                    f"there is no field {field!r}, which other sources have",
                    where=f"source {name}",
                    remedy=f"its fields are {', '.join(part.fields)}; give all sources the same",
                )
    return every


def _joined(field: str, parts: Mapping[str, Records], prompts: Prompts) -> Joined:
    values = [part.fields.get(field, _Empty(len(part))) for part in parts.values()]
    chosen = [prompts.get(name, {}) for name in parts]
    other = DOCUMENT if field == NEGATIVES else field
    return Joined(values, [own.get(field, own.get(other, "")) for own in chosen], list(parts))


def _columns(parts: Mapping[str, Records]) -> tuple[dict[str, np.ndarray], tuple[Note, ...]]:
    """The columns that all parts have, and the notes of all."""
    notes = [replace(note, what=f"{name}: {note.what}") for name, part in parts.items() for note in part.notes]
    columns = {}
    for column in dict.fromkeys(column for part in parts.values() for column in part.columns):
        found = [part.columns[column] for part in parts.values() if column in part.columns]
        if column in (SOURCE, WEIGHT):
            notes.append(Note(f"the column {column!r} of the sources was replaced", "give it another name"))
        elif len(found) < len(parts) or len({values.shape[1:] for values in found}) > 1:
            notes.append(Note(f"the column {column!r} is left out, since not all sources have it alike"))
        else:
            columns[column] = np.concatenate(found)
    return columns, tuple(notes)


def _digest(parts: Mapping[str, Records], prompts: Prompts, weights: Mapping[str, float] | None) -> str:
    """Of the parts' digests, where each has one; else the whole is read for it when it is needed."""
    if not all(part.digest for part in parts.values()):
        return ""
    told = [[name, part.digest, dict(prompts.get(name, {}))] for name, part in parts.items()]
    return hashlib.sha256(json.dumps([told, weights], sort_keys=True).encode()).hexdigest()
