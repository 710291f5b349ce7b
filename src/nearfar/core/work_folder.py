"""A folder beside an output in which long work leaves finished pieces, so that a killed process costs one piece only.

Every piece is written to a temporary name, flushed and renamed: what bears its name is whole. `plan.json` says what the work is;
pieces of other work are never taken for one's own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import ensure_directory, read_json, umask, unwritable

PLAN, FORMAT, VERSION = "plan.json", "nearfar-work", 1


class WorkFolder:
    """The folder `path` of the work that `plan` describes (JSON): begun, or gone on with.

    Errors: UsageError for a folder that holds the work of another plan (it says what differs), that holds unfinished work
    without `resume`, or that holds something else; ResourceError where it cannot be written.
    """

    def __init__(self, path: Path, plan: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        wanted = json.loads(json.dumps(dict(plan)))
        if (path / PLAN).exists():
            begun = read_json(path / PLAN, format=FORMAT, version=VERSION)["plan"]
            differing = [name for name in wanted if begun.get(name) != wanted[name]]
            if differing:
                what = ", ".join(f"{name} ({begun.get(name)} then, {wanted[name]} now)" for name in differing)
                raise UsageError(
                    f"the unfinished work was begun with another {what}",
                    where=str(path),
                    remedy="go on as it was begun, or delete this folder to begin anew",
                )
            if not resume:
                raise UsageError(
                    "unfinished work lies here",
                    where=str(path),
                    remedy="go on with it by resume=True (--resume), or delete this folder to begin anew",
                )
        elif path.exists() and any(path.iterdir()):
            raise UsageError(
                "the folder for the work holds something else", where=str(path), remedy="choose another out"
            )
        else:
            ensure_directory(path)
            self.write(PLAN, json.dumps({"format": FORMAT, "version": VERSION, "plan": wanted}, indent=1).encode())

    def has(self, name: str) -> bool:
        """Whether a piece is finished."""
        return (self.path / name).exists()

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write a piece into, which bears its name when the block ends without an error: whole or not at all."""
        # A name of its own, for a scheduler may start the same work twice, and two writers must not mix their bytes.
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f"{name}.unfinished-")
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes it private
            os.replace(temporary, self.path / name)
        except OSError as error:
            raise unwritable(self.path / name, error) from None
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)  # gives back the room it took on a full disk

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Leave a piece, whole or not at all."""
        with self.writing(name) as file:
            file.write(content)

    def publish(self, name: str, target: Path) -> None:
        """Move a finished piece to where it is wanted, on the same disk; a file there is replaced."""
        try:
            os.replace(self.path / name, target)
        except OSError as error:
            raise unwritable(target, error) from None

    def write_array(self, name: str, values: np.ndarray) -> None:
        """Leave an array."""
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        self.write(name, buffer.getbuffer())

    def array(self, name: str) -> np.ndarray:
        """A finished array, memory-mapped."""
        try:
            return np.lib.format.open_memmap(self.path / name, mode="r")
        except (OSError, ValueError) as error:
            raise DataError(
                f"a finished piece cannot be read: {error}",
                where=str(self.path / name),
                remedy="delete this file and go on",
            ) from None

    def remove(self) -> None:
        """The work is done."""
        shutil.rmtree(self.path, ignore_errors=True)
