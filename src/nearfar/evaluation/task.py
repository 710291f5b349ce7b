"""What every kind of task is made of: settings, columns, and the work of turning files and a model into arrays.

A kind is a file in `tasks/`, and its name is the file's:

    COLUMNS   role -> kind of cell ("text", "texts", "number", "any"); roles are names of columns unless a task says otherwise
    ROLES     what is encoded, for `sides` and `prompts`; where it is missing, the columns of kind "text"
    Settings  a frozen dataclass of keys that a task may have, beyond those of `TaskSettings`
    files     reads all files of a task
    measure   from `Work` to what a probe found: an `Outcome`, `Figures`, or several of them by name

`kinds` lists those of this package, and `module` is the one place where a name becomes one. Another package announces such a file as
a part of the kind "tasks" (`nearfar.core.parts`); one of the user's own is named by whoever evaluates. A suite names kinds only:
whoever sends you one does not choose what runs.
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
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import sha256
from nearfar.core.parts import parts, unknown
from nearfar.data.cells import Kind
from nearfar.data.image_folder import image_folder
from nearfar.data.readers import read
from nearfar.evaluation import tasks
from nearfar.probes.figures import Figures
from nearfar.probes.outcome import Outcome
from nearfar.training.own_file import module_of_file

NAME = 200  # characters of a text that names a unit
IMAGES = {"record": "image", "label": "class"}  # the columns of a folder of images

NEEDED = ("COLUMNS", "Settings", "files", "measure")  # of a kind's file
NONE: Mapping[str, Any] = MappingProxyType({})

Found = Outcome | Figures
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

    def __init__(
        self,
        kind: str,
        part: Any,
        settings: Any,
        folder: Path,
        encode: Encode,
        items: Callable[[str], np.ndarray],
        cosine: bool = True,
    ) -> None:
        self.kind, self.settings, self.folder, self.cosine = kind, settings, folder, cosine
        self.cells: Mapping[str, Kind] = part.COLUMNS
        self._part, self._items = part, items
        self._encode, self._tables = encode, dict[tuple[str, tuple[str, ...]], Table]()
        self._keys: set[str] = set()  # of settings that name files, whose content counts and not their name
        self._images = ""  # digest of the images whose paths are encoded
        check_roles(kind, part, settings)

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

    def items(self, role: str = "sequence") -> np.ndarray:
        """The table [items d] by whose products the model itself scores items. Raises UsageError for a model without one."""
        side = self.settings.sides.get(role, "")
        return self._items(f"={side}" if side else role)

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
        self._part.files(self)

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


def check_names(names: Iterable[str], known: Iterable[str], key: str, noun: str) -> None:
    """Raises DataError, with the nearest ones, for a name in a setting that is none of the known."""
    for name in names:
        if name not in known:
            error = unknown(name, known, noun)
            raise DataError(error.what, where=key, remedy=error.remedy)


def check_roles(kind: str, part: Any, settings: TaskSettings) -> None:
    """Raises UsageError, with the nearest names, for columns, sides or prompts of roles that a kind has not."""
    encoded = getattr(part, "ROLES", [role for role, cell in part.COLUMNS.items() if cell == "text"])
    for key, known in (("columns", part.COLUMNS), ("sides", encoded), ("prompts", encoded)):
        for role in getattr(settings, key):
            if role not in known:
                error = unknown(role, known, f"role of {kind}")
                raise UsageError(error.what, where=key, remedy=error.remedy)


@lru_cache(maxsize=1)
def kinds() -> tuple[str, ...]:
    """Names of the kinds of tasks of this package."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(tasks.__path__)))


def module(kind: str, own: Mapping[str, Any] = NONE) -> Any:
    """The file of a kind: of this package, one of the caller's `own`, or one that another package announces.

    Raises UsageError, which lists the nearest names, for one that there is not, and for a file that is no kind.
    """
    if kind in own:
        return own[kind]
    if kind in kinds():
        return import_module(f"{tasks.__name__}.{kind}")
    announced = {part.name: part for part in parts() if part.kind == "tasks"}
    if kind not in announced:
        raise unknown(kind, [*kinds(), *own, *announced], "kind of task")
    return _checked(import_module(announced[kind].module), announced[kind].source)


def own_kinds(files: Iterable[str | PathLike[str]]) -> dict[str, Any]:
    """Kinds of the user's own, by the names of their files. Raises UsageError for a file that is no kind, and for a name that is taken."""
    found: dict[str, Any] = {}
    for file in files:
        path = Path(file)
        if path.stem in kinds() or path.stem in found:
            raise UsageError(f"there is a kind {path.stem!r} already", where=str(path), remedy="rename your file")
        found[path.stem] = _checked(module_of_file(path), str(path))
    return found


def code_of(kind: str, part: Any) -> dict[str, str]:
    """A digest of the file of a kind that is not of this package: whoever edits it wants its tasks measured again."""
    return {} if kind in kinds() else {"code": sha256(Path(part.__file__))}


def _checked(part: Any, where: str) -> Any:
    lacking = [name for name in NEEDED if not hasattr(part, name)]
    if lacking:
        raise UsageError(
            f"a kind of task has {', '.join(NEEDED)}, and here is no {lacking[0]}",
            where=where,
            remedy="see src/nearfar/evaluation/tasks/sts.py for a short one",
        )
    return part


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
