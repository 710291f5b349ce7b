"""`Suite`: tasks by name, read from a TOML or JSON file.

    name = "small"

    [[tasks]]
    name = "answers"                                  # each by its own name
    kind = "retrieval"                                # a file in tasks/, or one of another package or your own
    data = "test.jsonl"                               # relative to the suite
    columns = { query = "question", document = "answer" }
    prompts = { query = "question: " }

What other keys a task has, its kind says.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.parts import unknown
from nearfar.core.tree import from_json
from nearfar.evaluation.task import NONE, check_roles, module

KEYS = ("name", "tasks")


@dataclass(frozen=True)
class Task:
    """A task of a suite: its name, its kind, the settings of that kind, and the file of it."""

    name: str
    kind: str
    settings: Any
    part: Any


@dataclass(frozen=True)
class Suite:
    """Tasks, in the order in which they are measured; `folder` is where their files are looked for, `source` what errors name."""

    name: str
    tasks: tuple[Task, ...]
    folder: Path
    source: str

    def only(self, names: tuple[str, ...]) -> Suite:
        """The suite with some of its tasks. Raises UsageError for a name that it has not."""
        known = [task.name for task in self.tasks]
        for name in names:
            if name not in known:
                error = unknown(name, known, "task")
                raise UsageError(error.what, where=self.source, remedy=error.remedy)
        return Suite(self.name, tuple(t for t in self.tasks if t.name in names), self.folder, self.source)


def suite_of(given: str | PathLike[str] | Mapping[str, Any], own: Mapping[str, Any] = NONE) -> Suite:
    """The suite of a file, or of a mapping of the same form, whose files are relative to the working directory; `own` kinds by name.

    Raises DataError, which names file, task and key, for anything that a suite cannot have, with the nearest names that it can.
    """
    if isinstance(given, Mapping):
        return _suite(given, Path(), "suite", "suite", own)
    path = Path(given)
    return _suite(_read(path), path.parent, path.name.split(".")[0], str(path), own)


def _read(path: Path) -> Any:
    try:
        text = path.read_text("utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except FileNotFoundError as error:
        raise DataError("there is no such suite", where=str(path), remedy="give a .toml or .json file") from error
    except OSError as error:
        raise ResourceError(
            f"cannot read: {error.strerror}", where=str(path), remedy="check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:  # of TOML, JSON and UTF-8
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise DataError(f"this is no {kind}: {error}", where=str(path), remedy="correct that line") from error


def _suite(data: Any, folder: Path, name: str, source: str, own: Mapping[str, Any]) -> Suite:
    if not isinstance(data, Mapping):
        raise DataError("a suite is a table", where=source, remedy="write [[tasks]] in it")
    for key in data:
        if key not in KEYS:
            raise _located(unknown(str(key), KEYS, "key of a suite"), source)
    tasks = data.get("tasks")
    if not isinstance(tasks, (list, tuple)) or not tasks:
        raise DataError("there are no tasks", where=source, remedy="write [[tasks]] with a name, a kind and data")
    made = [_task(task, number, source, own) for number, task in enumerate(tasks, 1)]
    names = [task.name for task in made]
    for task in made:
        if names.count(task.name) > 1:
            raise DataError(f"two tasks are called {task.name!r}", where=source, remedy="give each its own name")
    return Suite(str(data.get("name", name)), tuple(made), folder, source)


def _task(data: Any, number: int, source: str, own: Mapping[str, Any]) -> Task:
    place = f"{source}, task {number}"
    if not isinstance(data, Mapping):
        raise DataError("a task is a table", where=place, remedy="write [[tasks]]")
    for key in ("name", "kind"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise DataError(f"the task has no {key}", where=place, remedy=f'write {key} = "..."')
    name = data["name"]
    if not re.fullmatch(r"[\w. -]+", name):
        raise DataError(f"{name!r} is no name of a task", where=place, remedy="use letters, digits, ., - and _")
    place = f"{source}, task {name!r}"
    try:
        part = module(data["kind"], own)
    except UsageError as error:
        raise _located(error, f"{place}, kind") from error
    settings = from_json(part.Settings, {k: v for k, v in data.items() if k not in ("name", "kind")}, place)
    try:
        check_roles(data["kind"], part, settings)
    except UsageError as error:
        raise _located(error, f"{place}, {error.where}") from error
    return Task(name, data["kind"], settings, part)


def _located(error: NearfarError, where: str) -> DataError:
    return DataError(error.what, where=where, remedy=error.remedy)
