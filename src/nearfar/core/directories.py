"""Writing a whole directory (a model, a checkpoint, an index) so that a crash, a full disk or Ctrl-C costs only the new one.

All files are made in a hidden directory beside the target, flushed to the disk and then renamed. An older directory is
set aside for the moment between two renames; `latest` finds it there if the process dies in that moment.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar.core.errors import UsageError
from nearfar.core.files import umask, unwritable

ABANDONED = 86_400  # seconds after which a half-built directory belongs to no living process


@contextmanager
def replaced(target: Path, *, written_as: str, description: str, files: Collection[str]) -> Iterator[Path]:
    """A temporary directory that takes the place of `target` when the block ends without an error.

    An existing `target` is replaced only if it is empty, or `written_as` the same format (so says its JSON file `description`)
    and holds nothing besides `files`. Raises UsageError for any other, ResourceError where it cannot be written.
    """
    target = Path(os.path.realpath(target))
    try:
        _refuse_foreign(target, written_as, description, files)
        target.parent.mkdir(parents=True, exist_ok=True)
        _recover(target)
        _remove_abandoned(target)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.building-", dir=target.parent))
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        yield work
        flush(work)
        work.chmod(0o777 & ~umask())  # mkdtemp makes it private
        exchange(work, target)
    except OSError as error:
        raise unwritable(target, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def latest(target: str | Path) -> Path:
    """Where the directory of `target` is: there, or set aside by a writer that died between its two renames."""
    target = Path(os.path.realpath(target))
    aside = _aside(target)
    return aside if not target.exists() and aside.is_dir() else target


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _recover(target: Path) -> None:
    """Put back a directory that a dead writer had set aside, or remove it where it was replaced."""
    aside = _aside(target)
    if aside.is_dir():
        if target.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(target)


def exchange(work: Path, target: Path) -> None:
    """Put `work` in the place of `target`."""
    aside = _aside(target)
    if target.exists():
        target.rename(aside)
    try:
        work.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _refuse_foreign(target: Path, written_as: str, description: str, files: Collection[str]) -> None:
    if not target.exists():
        return
    kind = written_as.removeprefix("nearfar-")
    if not target.is_dir():
        raise UsageError("this is a file", where=str(target), remedy=f"name a directory for the {kind}")
    names = {path.name for path in target.iterdir()}
    other = sorted(names - set(files))
    if names and (other or not _is(target / description, written_as)):
        shown = f" ({', '.join(other[:3])}{', ...' if len(other) > 3 else ''})" if other else ""
        raise UsageError(
            f"the directory holds something else than a {kind}{shown} and is left alone",
            where=str(target),
            remedy="choose a new directory",
        )


def _is(description: Path, written_as: str) -> bool:
    try:
        values = json.loads(description.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("format") == written_as


def flush(directory: Path) -> None:
    """To the disk itself: a rename may otherwise reach it before the content does."""
    for path in directory.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


def _remove_abandoned(target: Path) -> None:
    for path in target.parent.glob(f".{target.name}.building-*"):
        if time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
