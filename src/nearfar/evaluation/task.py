"""What every kind of task is made of: settings, columns, and the work of turning files and a model into arrays.

A kind is a file in `tasks/`, and its name is the file's:

    COLUMNS   role -> kind of cell ("text", "texts", "number", "any"); roles are names of columns unless a task says otherwise
    ROLES     what is encoded, for `sides` and `prompts`; where it is missing, the columns of kind "text"
    Settings  a frozen dataclass of keys that a task may have, beyond those of `TaskSettings`
    files     reads all files of a task
    measure   from `Work` to the `Outcome` of a probe

`kinds` lists them, and `module` is the one place where a name becomes one.
"""

from __future__ import annotations

import hashlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.parts import unknown
from nearfar.data.cells import Kind
from nearfar.data.image_folder import image_folder
from nearfar.data.readers import read
from nearfar.evaluation import tasks
from nearfar.probes.outcome import Outcome

NAME = 200  # characters of a text that names a unit
IMAGES = {"record": "image", "label": "class"}  # the columns of a folder of images

Encode = Callable[[list[Any], str, str, str], np.ndarray]
"""(records, side or role, prompt, digest of files that the records are paths of) -> vectors [n d]; "=" before a side that was asked for."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """Keys of every task beside `name` and `kind`.

    data     file of the measured records, or a folder of images; relative to the suite
    columns  role -> column of the files, for columns that are not named like their role
    sides    role -> side of the model; without, the side of the role's name where the model has it, else its first side
    prompts  role -> text put before every text of that role
    """

    data: str
    columns: Mapping[str, str] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)


class Table:
    """Columns of a file by role, each a list with an entry a record."""

    def __init__(self, columns: Mapping[str, list[Any]], digest: str) -> None:
        self.columns, self.digest = columns, digest

    def __getitem__(self, role: str) -> list[Any]:
        return self.columns[role]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Work:
    """One task with a model: its settings, its files, and vectors of what stands in them.

    settings  of the kind
    cosine    whether the model compares by cosine
    """

    def __init__(self, kind: str, settings: Any, folder: Path, encode: Encode, cosine: bool = True) -> None:
        self.kind, self.settings, self.folder, self.cosine = kind, settings, folder, cosine
        self.cells: Mapping[str, Kind] = module(kind).COLUMNS
        self._encode, self._tables = encode, dict[tuple[str, tuple[str, ...]], Table]()
        self._keys: set[str] = set()  # of settings that name files, whose content counts and not their name
        self._images = ""  # digest of the images whose paths are encoded
        check_roles(kind, settings)

    def table(self, key: str = "data", roles: Sequence[str] | None = None) -> Table:
        """The file that a key of the settings names, with the columns of some roles (all of the kind unless given).

        Raises DataError, which names file, line and column, for cells that are not what they must be.
        """
        roles = tuple(self.cells if roles is None else roles)
        self._keys.add(key)
        name = getattr(self.settings, key)
        if (name, roles) not in self._tables:
            path = self.folder / Path(name).expanduser()
            made = self._folder_of_images(path, roles) if path.is_dir() else self._file(path, roles)
            self._tables[name, roles] = made
        return self._tables[name, roles]

    def optional(self, key: str, roles: Sequence[str] | None = None) -> Table | None:
        """As `table`; None for a key that the task has not."""
        return None if getattr(self.settings, key) is None else self.table(key, roles)

    def vectors(self, items: Sequence[Any], role: str = "record") -> np.ndarray:
        """Vectors [n d] of texts or paths, with the side and the prompt of their role."""
        side, prompt = self.settings.sides.get(role, ""), self.settings.prompts.get(role, "")
        if self._images and prompt and role == "record":
            raise UsageError("a prompt before images", where="prompts.record", remedy="leave it out")
        return self._encode(list(items), f"={side}" if side else role, prompt, self._images)

    def compared(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors whose products are the model's similarity: of unit length under the cosine."""
        if not self.cosine:
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)

    def names(self, texts: Iterable[Any]) -> list[str]:
        """Names of units: their texts, cut to a length."""
        return [str(text)[:NAME] for text in texts]

    def labels(self, table: Table, role: str = "label") -> list[str]:
        """Labels as text, so that files of different formats agree. Raises DataError for one that is no text and no whole number."""
        return [_label(value, number, role) for number, value in enumerate(table[role])]

    @property
    def fingerprint(self) -> str:
        """A digest of the kind, of what was read so far, and of options; prompts and sides belong to the model, names of files to nobody."""
        left_out = {"columns", "sides", "prompts"} | self._keys
        options = {k: v for k, v in vars(self.settings).items() if k not in left_out and v is not None}
        known = {"kind": self.kind, "options": options, "data": [t.digest for t in self._tables.values()]}
        return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def read_all(self) -> None:
        """Read what the task will read: afterwards `fingerprint` is that of the whole task."""
        module(self.kind).files(self)

    def _file(self, path: Path, roles: tuple[str, ...]) -> Table:
        names = {role: self.settings.columns.get(role, role) for role in roles}
        cells: dict[str, Kind] = {column: self.cells[role] for role, column in names.items()}
        found = [record.values for record in read(path, cells)]
        columns = {role: [values[column] for values in found] for role, column in names.items()}
        return Table(columns, _digest(columns.values()))

    def _folder_of_images(self, path: Path, roles: tuple[str, ...]) -> Table:
        records = image_folder(path)
        columns = {}
        for role in roles:
            column = self.settings.columns.get(role, IMAGES.get(role, role))
            if column not in records.fields:
                error = unknown(column, records.fields, "column of a folder of images")
                raise DataError(error.what, where=str(path), remedy=error.remedy)
            columns[role] = list(records.fields[column])
        images = records.columns["image_id"]  # equal for equal files
        digest = hashlib.sha256(images.tobytes() + _digest(columns.values()).encode()).hexdigest()
        self._images = hashlib.sha256((self._images + digest).encode()).hexdigest()
        return Table(columns, digest)


def named(outcome: Outcome, texts: Sequence[Any]) -> Outcome:
    """The outcome with units that are named by their texts, so that two are matched, and differences can be read."""
    return replace(outcome, names=[str(text)[:NAME] for text in texts])


def check_roles(kind: str, settings: TaskSettings) -> None:
    """Raises UsageError, with the nearest names, for columns, sides or prompts of roles that a kind has not."""
    found = module(kind)
    encoded = getattr(found, "ROLES", [role for role, cell in found.COLUMNS.items() if cell == "text"])
    for key, known in (("columns", found.COLUMNS), ("sides", encoded), ("prompts", encoded)):
        for role in getattr(settings, key):
            if role not in known:
                error = unknown(role, known, f"role of {kind}")
                raise UsageError(error.what, where=key, remedy=error.remedy)


@lru_cache(maxsize=1)
def kinds() -> tuple[str, ...]:
    """Names of all kinds of tasks."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(tasks.__path__)))


def module(kind: str) -> Any:
    """The file of a kind. Raises UsageError, which lists the nearest names, for one that there is not."""
    if kind not in kinds():
        raise unknown(kind, kinds(), "kind of task")
    return import_module(f"{tasks.__name__}.{kind}")


def _label(value: Any, number: int, role: str) -> str:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(
            f"{value!r} is no label", where=f"record {number}, {role}", remedy="give a text or a whole number"
        )
    return str(value)


def _digest(columns: Any) -> str:
    digest = hashlib.sha256()
    for column in columns:
        for value in column:
            data = json.dumps(value, sort_keys=True, default=str).encode()
            digest.update(b"%d:" % len(data) + data)
        digest.update(b";")
    return digest.hexdigest()
