"""Several data sets under names of their own, as one training set: each a path or data in hand, with columns and prompts of its own.

        {"nli": "nli.jsonl", "qa": {"data": "qa.jsonl", "columns": "question,answer", "prompts": {"query": "question: "}}}

`nearfar.data.sources` joins them; which of them share a batch, and in what proportion, is `fit.batching`. What is told of each is
plain JSON, so that the configuration of a run holds all that reading them again takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import unwritable
from nearfar.data.bad_records import BadRecords
from nearfar.data.lazy import lazy_pairs
from nearfar.data.pair_table import PairTable
from nearfar.data.pairs import pairs
from nearfar.data.records import Records
from nearfar.data.sources import NEGATIVES, sources

LARGE = 1 << 30  # bytes of a file that is read record by record instead of as a whole
SETTINGS = ("data", "columns", "prompts")


@dataclass(frozen=True)
class _DataSet:
    data: Any
    columns: str | Sequence[str] | None
    prompts: Mapping[str, str]


def is_several(data: Any) -> bool:
    """Whether this is data sets by name, not columns by name or one data set.

    >>> is_several({"nli": "nli.jsonl", "qa": [("a", "b")]}), is_several({"query": ["a"], "document": ["b"]}), is_several("nli.jsonl")
    (True, False, False)
    """
    # A DatasetDict is one data set in parts, of which some are for testing.
    if not isinstance(data, Mapping) or hasattr(data, "column_names"):
        return False
    return bool(data) and all(_is_data_set(value) for value in data.values())


def _is_data_set(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (tuple, list, Mapping))
    known = isinstance(value, (str, os.PathLike, PairTable, Records, Mapping))
    return known or hasattr(value, "column_names") or hasattr(value, "columns")


def are_files(data: Mapping[str, Any]) -> bool:
    """Whether data sets by name are all named by their paths, as on a command line."""
    given = [one["data"] if isinstance(one, Mapping) and "data" in one else one for one in data.values()]
    return all(isinstance(one, (str, os.PathLike)) for one in given)


def open_several(
    data: Mapping[str, Any],
    columns: str | Sequence[str] | None = None,
    numbers: Callable[[Any], Sequence[str]] = lambda data: (),
    *,
    policy: BadRecords | None = None,
) -> tuple[Records, dict[str, dict[str, Any]]]:
    """All records with a column `source`, and what is to be known of each data set to read it again.

    `columns` are those of the data sets that do not name their own; `numbers` says which further columns of a data set are kept;
    `policy` what happens to bad records, of each data set by itself. Raises what `pairs` and `sources` raise, with the name of the data
    set; UsageError for one that is told of in other words than data, columns and prompts.
    """
    given = {str(name): _data_set(name, value, columns) for name, value in data.items()}
    parts: dict[str, Records] = {}
    about: dict[str, dict[str, Any]] = {}
    policy = policy or BadRecords()
    listed = _BadRecords(None if policy.path is None else Path(policy.path))
    for name, one in given.items():
        try:
            parts[name], names = _opened(one, numbers(one.data), replace(policy, reasons=[]))
        except DataError as error:
            where = error.where if isinstance(one.data, (str, os.PathLike)) else f"{name}, {error.where}"
            raise DataError(error.what, where=where, remedy=error.remedy) from error
        finally:
            listed.add()
        about[name] = {
            "source": parts[name].source,
            "columns": list(names),
            "records": len(parts[name]),
            "fingerprint": parts[name].fingerprint,
        }
        if one.prompts:
            about[name]["prompts"] = dict(one.prompts)
    return sources(parts, prompts={name: one.prompts for name, one in given.items() if one.prompts}), about


def again(about: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The data sets of a run, as they are given: from what was written down of them."""
    return {
        name: {"data": one["source"], "columns": one["columns"], "prompts": one.get("prompts", {})}
        for name, one in about.items()
    }


def _data_set(name: str, value: Any, columns: str | Sequence[str] | None) -> _DataSet:
    if not isinstance(value, Mapping) or "data" not in value:
        return _DataSet(value, columns, {})
    unknown = sorted(set(value) - set(SETTINGS))
    if unknown:
        raise UsageError(
            f"the data set {name!r} has no setting {unknown[0]!r}",
            where="data",
            remedy=f"there are {', '.join(SETTINGS)}",
        )
    return _DataSet(value["data"], value.get("columns") or columns, value.get("prompts") or {})


def _opened(one: _DataSet, numbers: Sequence[str], policy: BadRecords) -> tuple[Records, Sequence[str]]:
    if isinstance(one.data, Records):
        return one.data, tuple(one.data.fields)
    path = Path(one.data) if isinstance(one.data, (str, os.PathLike)) else None
    if path is not None and path.is_file() and path.stat().st_size > LARGE:
        bad = policy if policy.on_bad == "skip" else None
        names = one.columns.split(",") if isinstance(one.columns, str) else one.columns
        return lazy_pairs(one.data, one.columns, numbers=numbers, bad=bad), [name.strip() for name in names or ()]
    told = {"on_bad": policy.on_bad, "bad_records": policy.path, "bad_share": policy.share}
    table = pairs(one.data, one.columns, numbers=numbers, **told)
    records = table.records()
    if not table.has_negatives:
        records = replace(records, fields={k: v for k, v in records.fields.items() if k != NEGATIVES})
    return records, table.columns


class _BadRecords:
    """The list of the bad records of all data sets: reading each of them begins the file anew."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.text = path, ""
        # What an interrupted run found while it trained stays; what it found while it read is found again.
        self.write("".join(line for line in self.read().splitlines(keepends=True) if '"record":' in line))

    def add(self) -> None:
        """After a data set was read, or could not be: what was listed before it, and its own."""
        now = self.read()
        self.write(now if now.startswith(self.text) else self.text + now)

    def read(self) -> str:
        return "" if self.path is None or not self.path.exists() else self.path.read_text("utf-8")

    def write(self, text: str) -> None:
        self.text = text
        if self.path is None or text == self.read():
            return
        try:
            self.path.write_text(text, "utf-8")
        except OSError as error:
            raise unwritable(self.path, error) from error
