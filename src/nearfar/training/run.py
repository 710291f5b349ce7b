"""The directory of one run: its full configuration, its metrics line by line, its last checkpoint, its model and report.

config.json      recipe with every setting, data and its fingerprint, seed, versions
metrics.jsonl    one line a logged step
metrics.csv      the same as a table; tensorboard/ the same for TensorBoard
checkpoints/     the last two, complete at any moment, and the best as measured
model/           the result
outcomes.json    what it is worth on the held-out records, query by query; the columns in outcomes.safetensors
report.html      rendered at the end
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import nearfar
from nearfar.core.errors import DataError, ResourceError
from nearfar.core.files import read_json, unwritable, write_text
from nearfar.training.loggers import append

FORMAT, VERSION = "nearfar-run", 1
BAD_RECORDS = "bad_records.jsonl"  # written while the data are read, before there is a run


class Run:
    """A run directory. `Run.new` makes one, `Run.open` continues one."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self.directory, self.config = directory, config
        self.model = directory / "model"
        self.checkpoints = directory / "checkpoints"
        self.report = directory / "report.html"
        self.metrics = directory / "metrics.jsonl"

    @classmethod
    def new(cls, directory: Path | None, name: str, config: dict[str, Any]) -> Run:
        """Make the directory (`runs/NAME-1`, `-2`, ... when none is given) and write `config.json` into it.

        Raises ResourceError for a directory that holds something else or cannot be written.
        """
        try:
            directory = _free(Path("runs"), name) if directory is None else Path(directory)
            directory.mkdir(parents=True, exist_ok=True)
            # os.access answers for the root user too early; only writing tells.
            probe = directory / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(Path(directory or "runs"), error) from error
        if any(entry.name != BAD_RECORDS for entry in directory.iterdir()):
            raise ResourceError(
                "the directory is not empty, and a run never overwrites another",
                where=str(directory),
                remedy="choose another --out, or continue this run with --resume",
            )
        config = {"format": FORMAT, "version": VERSION, **config, "software": software()}
        write_text(directory / "config.json", json.dumps(config, indent=1) + "\n")
        return cls(directory, config)

    @classmethod
    def open(cls, directory: str | Path) -> Run:
        """The run in an existing directory."""
        path = Path(directory)
        if not path.is_dir():
            raise DataError(
                "there is no such run", where=str(path), remedy="give the directory of a run, such as runs/pairs-1"
            )
        return cls(path, read_json(path / "config.json", format=FORMAT, version=VERSION))

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        try:
            append(self.metrics, json.dumps(entry) + "\n")
        except OSError as error:
            raise unwritable(self.metrics, error) from error

    def logged(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl` that are whole (a killed run may leave half a line)."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text("utf-8").splitlines()
        entries = []
        for number, line in enumerate(lines):
            try:
                entries.append(json.loads(line))
            except ValueError:
                if number < len(lines) - 1:
                    raise DataError(
                        "a damaged line", where=f"{self.metrics}:{number + 1}", remedy="remove it"
                    ) from None
        return entries

    def rewind(self, stage: str, step: int) -> list[dict[str, Any]]:
        """Drop the lines of a stage after a checkpoint that is being resumed; they will be run again. Returns those kept."""
        kept = [e for e in self.logged() if e.get("stage") != stage or e["step"] <= step]
        if self.metrics.exists():
            write_text(self.metrics, "".join(json.dumps(e) + "\n" for e in kept))
        return [e for e in kept if e.get("stage") == stage]


def software() -> dict[str, Any]:
    """Versions and machine, as far as they can change a number."""
    import torch

    return {
        "nearfar": nearfar.__version__,
        "torch": str(torch.__version__),
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def _free(parent: Path, name: str) -> Path:
    """The first of parent/name-1, parent/name-2, ... that is not taken; made here, so that two runs cannot share it."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        candidate = parent / f"{name}-{number}"
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
