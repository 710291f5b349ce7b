"""Loggers: where the figures of a run go besides its own `metrics.jsonl`: a CSV file, TensorBoard, a function of the user's own.

A logger has one method, `log(entry)`; a plain function of an entry is one too. An entry is a flat mapping with a `step` and mostly a
`stage`. What keeps a file may also have `rewind(stage, step)`, called when a run is resumed at that step, and `close()`.

A logger never ends a run. One that raises is reported by a warning and tried again with the next entries, since a full disk or a lost
connection may pass; after `PATIENCE` failures in a row it is dropped, with a second warning.
"""

from __future__ import annotations

import csv
import io
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.files import ensure_directory, unwritable, write_text

Value = float | int | str | None
Entry = Mapping[str, Value]

PATIENCE = 10
FLUSH = 10.0  # seconds that TensorBoard may be behind


@runtime_checkable
class Logger(Protocol):
    """Anything that takes entries."""

    def log(self, entry: Entry) -> None:
        """Take one entry."""
        ...


class Loggers:
    """Several loggers, objects with a method `log` or functions of an entry, as one that never raises.

    >>> seen = []
    >>> loggers = Loggers([seen.append])
    >>> loggers.log({"stage": "fit", "step": 1, "loss": 2.5})
    >>> seen
    [{'stage': 'fit', 'step': 1, 'loss': 2.5}]
    """

    def __init__(self, loggers: Iterable[Any] = ()) -> None:
        self.loggers = list(loggers)
        for logger in self.loggers:
            if not callable(logger) and not callable(getattr(logger, "log", None)):
                raise UsageError(
                    f"a {type(logger).__name__} is no logger",
                    where="loggers",
                    remedy="give an object with a method log(entry), or a function of an entry",
                )
        self._failures = dict.fromkeys(map(id, self.loggers), 0)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Give each logger a flat copy of the entry: figures within figures are named `held_out/mrr`."""
        for logger in list(self.loggers):
            log = getattr(logger, "log", None)
            self._safely(logger, log if callable(log) else logger, flat(entry))

    def rewind(self, stage: str, step: int) -> None:
        """A run goes on after this step of the stage: loggers that keep a file forget what came later."""
        for logger in list(self.loggers):
            if callable(getattr(logger, "rewind", None)):
                self._safely(logger, logger.rewind, stage, step)

    def close(self) -> None:
        """Flush and close those that can."""
        for logger in list(self.loggers):
            if callable(getattr(logger, "close", None)):
                self._safely(logger, logger.close)

    def _safely(self, logger: Any, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
            self._failures[id(logger)] = 0
        except Exception as error:  # noqa: BLE001 - whatever somebody's logger raises, the training goes on
            self._failures[id(logger)] += 1
            failures, name = self._failures[id(logger)], _name(logger)
            if failures == 1:
                warnings.warn(
                    f"the logger {name} failed: {type(error).__name__}: {error}; the training goes on without this entry",
                    RuntimeWarning,
                    stacklevel=3,
                )
            if failures >= PATIENCE:
                self.loggers.remove(logger)
                warnings.warn(
                    f"the logger {name} failed {failures} times in a row and is dropped; metrics.jsonl has all entries",
                    RuntimeWarning,
                    stacklevel=3,
                )


def flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """An entry without mappings in it; lists become text.

    >>> flat({"step": 3, "held_out": {"mrr": 0.5}})
    {'step': 3, 'held_out/mrr': 0.5}
    """
    made: dict[str, Value] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            made |= flat(value, f"{prefix}{name}/")
        else:
            made[prefix + name] = value if value is None or isinstance(value, (int, float, str)) else str(value)
    return made


def _name(logger: Any) -> str:
    return getattr(logger, "__qualname__", type(logger).__qualname__)


class CsvLogger:
    """A table of a line an entry and a column a name; what an entry lacks is an empty cell.

    A name that was not there before makes a new column at the right: the file is then written anew, whole. An existing file is gone
    on with; half a line, which a killed run may leave, is dropped. Raises DataError for a file that is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.columns: list[str] = []
        if self.path.exists():
            self._write(self._read())

    def log(self, entry: Entry) -> None:
        """Append a line."""
        new = [name for name in entry if name not in self.columns]
        if new:
            rows = self._read()
            self.columns += new
            self._write(rows)
        try:
            append(self.path, self._line(entry))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def rewind(self, stage: str, step: int) -> None:
        """Drop the lines of a stage after a step: they will be run again."""
        if self.path.exists():
            kept = [r for r in self._read() if r.get("stage", "") != stage or float(r.get("step") or 0) <= step]
            self._write(kept)

    def _read(self) -> list[dict[str, str]]:
        """All whole lines, and the columns as the file has them."""
        if not self.path.exists():
            return []
        text = self.path.read_bytes().decode("utf-8", "replace")
        # A line is written at once, its end last: what has no end is half a line.
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
        if not rows:
            return []
        self.columns = rows[0]
        if len(set(self.columns)) != len(self.columns) or any(len(row) != len(self.columns) for row in rows):
            raise DataError(
                "this is no table of metrics: its lines differ in length or its columns in nothing",
                where=str(self.path),
                remedy="move the file away",
            )
        return [dict(zip(self.columns, row, strict=True)) for row in rows[1:]]

    def _write(self, rows: Iterable[Mapping[str, str]]) -> None:
        header = self._line(dict(zip(self.columns, self.columns, strict=True))) if self.columns else ""
        write_text(self.path, header + "".join(self._line(row) for row in rows))

    def _line(self, entry: Mapping[str, Any]) -> str:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerow(["" if entry.get(c) is None else entry[c] for c in self.columns])
        return out.getvalue()


class TensorBoardLogger:
    """Curves for TensorBoard, through tensorboardX: `tensorboard --logdir FOLDER`. Each stage is a run of its own in the folder.

    Numbers become curves over `step`, texts are left out. After `rewind`, TensorBoard hides what was logged beyond that step.
    A file that could not be written to is left as it is, and a new one begun: beyond half a record nothing of it is read.

    The events are written at once, not through tensorboardX's `SummaryWriter`: its thread ends at the first error, such as a full
    disk, and then the queue to it fills up and the training waits for ever.
    Raises ResourceError without tensorboardX.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2
        except ImportError as error:
            raise ResourceError(
                "TensorBoard's files are written by tensorboardX, which is not installed",
                where="loggers",
                remedy="pip install tensorboardX, or leave this logger out",
            ) from error
        self.folder = Path(folder)
        self._file, self._scalar = event_file_writer.EventsWriter, summary.scalar
        self._messages: Any = event_pb2  # its classes are made at run time
        self._writers: dict[str, Any] = {}
        self._flushed = time.monotonic()
        self._purge: dict[str, int] = {}

    def log(self, entry: Entry) -> None:
        """Add a point to the curve of each number."""
        stage, step = str(entry.get("stage") or ""), int(cast("float", entry.get("step", 0)))
        try:
            writer = self._writer(stage)
            for name, value in entry.items():
                if name not in ("step", "stage") and isinstance(value, (int, float)) and math.isfinite(value):
                    curve = self._scalar(name, value)
                    writer.write_event(self._messages.Event(wall_time=time.time(), step=step, summary=curve))
            if time.monotonic() - self._flushed > FLUSH:
                writer.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            with suppress(OSError):
                self._writers.pop(stage).close()
            raise unwritable(self.folder, error) from error

    def rewind(self, stage: str, step: int) -> None:
        """The steps after this one will come again; a new file says so."""
        if stage in self._writers:
            self._writers.pop(stage).close()
        self._purge[stage] = step + 1

    def close(self) -> None:
        """Flush; a later entry would open a further file."""
        while self._writers:
            try:
                self._writers.popitem()[1].close()
            except OSError as error:
                raise unwritable(self.folder, error) from error

    def _writer(self, stage: str) -> Any:
        if stage not in self._writers:
            folder = self.folder / _file_name(stage) if stage else self.folder
            ensure_directory(folder)
            # Files are named by the second: without a number, two of one second would be one, and TensorBoard reads them by name.
            number = f".{len(list(folder.glob('events.*'))):04d}"
            writer = self._writers[stage] = self._file(str(folder / "events"), number)
            if stage in self._purge:
                started = self._messages.SessionLog(status=self._messages.SessionLog.START)
                purge = self._messages.Event(wall_time=time.time(), step=self._purge[stage], session_log=started)
                writer.write_event(purge)
                del self._purge[stage]
        return self._writers[stage]


def append(path: Path, text: str) -> None:
    """Add text to the end of a file: all of it or, where the disk is full, nothing, since half a line would spoil the next."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(end)
            raise


def _file_name(stage: str) -> str:
    """A stage's name as that of a folder: nothing that leads out of it."""
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in stage) or "_"
