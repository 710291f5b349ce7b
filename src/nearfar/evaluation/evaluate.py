"""`evaluate`: a model measured on all tasks of a suite, with intervals; stored task by task, so that a run that was stopped goes on.

A results folder holds

    results.json    model, suite and data with fingerprints, versions, machine, figures with intervals
    outcomes.*      what every unit of every task got, and figures that no unit has (`stored_outcomes`), for `nearfar compare`
    vectors/        cached vectors, which may be deleted

Kin: the probes are the functions that measure, and work on arrays; `retrieval` is one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError, NearfarError, UsageError
from nearfar.core.files import read_json, write_text
from nearfar.core.machine import usable_cores
from nearfar.core.progress import Update, bar
from nearfar.evaluation.cache import BYTES, VectorCache, key_of
from nearfar.evaluation.subject import Subject, subject
from nearfar.evaluation.suite import Suite, Task, suite_of
from nearfar.evaluation.task import Found, Work, code_of, own_kinds
from nearfar.probes.figures import Figures
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import interval
from nearfar.probes.stored_outcomes import has_outcomes, load_figures, load_outcomes, save_outcomes
from nearfar.training.run import software

CARD = Card(
    name="evaluate",
    summary="a model on all tasks of a suite, with intervals, resumable",
    related=("retrieval", "outcome", "stored_outcomes"),
    public=("evaluate", "Evaluation"),
)

FORMAT, VERSION = "nearfar-evaluation", 1
RESULTS, VECTORS = "results.json", "vectors"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    found    task -> what its probe found; of a task of several probes, such as `geometry`, "TASK/PROBE" of each
    results  what results.json holds: of each of them figures with intervals, units, seconds, fingerprint of the data
    folder   where it is stored, if anywhere
    """

    found: Mapping[str, Found]
    results: Mapping[str, Any]
    folder: Path | None = None

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What was measured unit by unit."""
        return {name: one for name, one in self.found.items() if isinstance(one, Outcome)}

    @property
    def wholes(self) -> dict[str, Figures]:
        """What was measured as a whole: it has no units and no intervals."""
        return {name: one for name, one in self.found.items() if isinstance(one, Figures)}

    def figures(self) -> dict[str, float]:
        """The main figure of everything found."""
        return {name: one.figure() for name, one in self.found.items()}


def evaluate(
    model: Any,
    suite: str | PathLike[str] | Mapping[str, Any],
    out: str | PathLike[str] | None = None,
    *,
    name: str = "",
    only: Sequence[str] = (),
    kinds: Sequence[str | PathLike[str]] = (),
    cache: str | PathLike[str] | None = None,
    cache_bytes: int = BYTES,
    precision: str = "float32",
    resamples: int | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Measure a model on the tasks of a suite.

    model        a model, a path that `nf.load` takes, or a function from a list of n records to an array [n d]
    suite        a .toml or .json file, or a mapping of the same form: {"tasks": [{"name": ..., "kind": ..., "data": ...}]}
    out          results folder; tasks that it holds already, of the same model, data and settings, are not measured again
    name         of the model. A function is known by it: without a name its vectors are kept for this run only, and its tasks are
                 measured again; whoever gives one says that the same name always computes the same vectors
    only         names of tasks, if not all are wanted
    kinds        Python files of yours, each a kind of task of its name (`nearfar.evaluation.task` says what stands in one)
    cache        folder of cached vectors; out/vectors unless given; in memory without `out`
    cache_bytes  of it at most; the longest unused go first
    precision    in which a model computes: "float32" or "bfloat16"
    resamples    for intervals; as `nf.interval` unless given
    quiet        no progress

    >>> letters = lambda texts: [[text.count("a"), text.count("b"), 1] for text in texts]
    >>> lines = ['{"first": "aab", "second": "aa", "score": 5}', '{"first": "abb", "second": "aa", "score": 1}']
    >>> _ = Path("pairs.jsonl").write_text("\\n".join([*lines, '{"first": "ab", "second": "bb", "score": 2}']))
    >>> found = evaluate(letters, {"tasks": [{"name": "letters", "kind": "sts", "data": "pairs.jsonl"}]})
    >>> {name: round(value, 2) for name, value in found.figures().items()}
    {'letters': 1.0}

    Raises DataError, which names suite, task and key, for a suite or data that cannot be used; UsageError for what is no model, tasks
    that there are not, and a folder that holds other results; ResourceError where it cannot be written.
    """
    whole = suite_of(suite, own_kinds(kinds))
    chosen = whole.only(tuple(only)) if only else whole
    measured = subject(model, name, precision)
    folder = None if out is None else Path(out)
    place = Path(cache) if cache is not None else None if folder is None else folder / VECTORS
    if folder is not None:
        _refuse_foreign(folder, measured)
    store = _Store(folder, measured, whole, resamples)
    vectors = VectorCache(place, cache_bytes)
    own = VectorCache(None, cache_bytes) if not measured.fingerprint else vectors
    for number, task in enumerate(chosen.tasks, 1):
        with bar(f"{task.name} ({number} of {len(chosen.tasks)})", quiet) as update:
            try:
                store.take(task, _work(task, chosen, measured, own, update))
            except NearfarError as error:
                place_of = f"{chosen.source}, task {task.name!r}" + (f", {error.where}" if error.where else "")
                raise type(error)(error.what, where=place_of, remedy=error.remedy) from error
    return Evaluation(store.found, store.results(), folder)


def _work(task: Task, suite: Suite, measured: Subject, cache: VectorCache, update: Update) -> Work:
    """The task with its files and a way to vectors."""

    def encode(records: list[Any], role: str, prompt: str, images: str) -> np.ndarray:
        side = measured.side(role)
        key = key_of([measured.fingerprint, side, prompt, images], map(str, records))
        found = cache.get(key)
        if found is None:
            found = measured.vectors([prompt + r for r in records] if prompt else records, side, update)
            cache.put(key, found)
        else:
            update(len(records), len(records), "cached")
        return found

    return Work(task.kind, task.part, task.settings, suite.folder, encode, measured.item_table, measured.cosine)


class _Store:
    """What finished tasks found, in memory and in the results folder."""

    def __init__(self, folder: Path | None, measured: Subject, suite: Suite, resamples: int | None) -> None:
        self.folder, self.measured, self.suite, self.resamples = folder, measured, suite, resamples
        self.found: dict[str, Found] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        self.before: dict[str, Found] = {}
        self.known: dict[str, Any] = {}
        if folder is not None and measured.fingerprint and has_outcomes(folder):
            outcomes, about = load_outcomes(folder)
            self.before = {**outcomes, **load_figures(folder)}
            self.known = {name: entry for name, entry in about.get("tasks", {}).items() if name in self.before}

    def take(self, task: Task, work: Work) -> None:
        """Measure a task, unless it is there already, and store it."""
        work.read_all()
        data = work.fingerprint
        told = {"sides": dict(task.settings.sides), "prompts": dict(task.settings.prompts), "resamples": self.resamples}
        told |= code_of(task.kind, task.part)
        key = hashlib.sha256(json.dumps([task.kind, data, told], sort_keys=True).encode()).hexdigest()[:32]
        mine = {name: entry for name, entry in self.known.items() if _task_of(name, entry) == task.name}
        if mine and all(entry.get("key") == key for entry in mine.values()):
            self.found |= {name: self.before[name] for name in mine}
            self.entries |= mine
            return
        started = time.perf_counter()
        found = task.part.measure(work)
        seconds = round(time.perf_counter() - started, 3)
        named = found if isinstance(found, Mapping) else {"": found}
        for part, one in named.items():
            name = f"{task.name}/{part}" if part else task.name
            self.found[name] = replace(one, facts={**one.facts, "fingerprint": data})
            about = {"key": key, "task": task.name, "kind": task.kind, "probe": one.probe, "data": data}
            self.entries[name] = about | _told(one, self.resamples) | {"seconds": seconds}
        self.write()

    def write(self) -> None:
        """Everything that is known so far; what the folder held of other tasks of the suite stays until they are measured."""
        if self.folder is None:
            return
        waiting = {t.name for t in self.suite.tasks} - self._done(self.entries)
        entries = self.entries | {n: e for n, e in self.known.items() if _task_of(n, e) in waiting}
        found = {n: self.found[n] if n in self.found else self.before[n] for n in entries}
        results = self.results() | {"tasks": entries, "complete": len(self._done(entries)) == len(self.suite.tasks)}
        outcomes = {name: one for name, one in found.items() if isinstance(one, Outcome)}
        save_outcomes(
            self.folder, outcomes, results, {name: one for name, one in found.items() if isinstance(one, Figures)}
        )
        write_text(self.folder / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")

    def _done(self, entries: Mapping[str, Any]) -> set[str]:
        return {_task_of(name, entry) for name, entry in entries.items()}

    def results(self) -> dict[str, Any]:
        """What results.json holds."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {"name": self.measured.name, "fingerprint": self.measured.fingerprint},
            "suite": {"name": self.suite.name, "source": self.suite.source},
            "complete": len(self._done(self.entries)) == len(self.suite.tasks),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": software(),
            "machine": {"system": f"{platform.system()} {platform.machine()}", "usable_cores": usable_cores()},
            "tasks": self.entries,
        }


def _task_of(name: str, entry: Mapping[str, Any]) -> str:
    return entry.get("task", name)


def _told(found: Found, resamples: int | None) -> dict[str, Any]:
    """Of one probe for results.json: `units` and `count` are null where nothing was measured unit by unit."""
    if isinstance(found, Outcome):
        figures = with_intervals(found, resamples)
        return {"units": found.units, "count": len(found), "main": found.main, "figures": figures}
    figures = {name: {"value": value, "low": None, "high": None} for name, value in found.figures().items()}
    return {"units": None, "count": None, "main": found.main, "figures": figures}


def with_intervals(outcome: Outcome, resamples: int | None = None) -> dict[str, dict[str, float | None]]:
    """Every metric with its interval, which too few units have not."""
    made: dict[str, dict[str, float | None]] = {}
    for metric in outcome.names_of_metrics:
        made[metric] = {"value": outcome.figure(metric), "low": None, "high": None}
        try:
            found = interval(outcome, metric, n=resamples)
        except DataError:
            continue
        made[metric] |= {"low": float(found.low), "high": float(found.high)}
    return made


def _refuse_foreign(folder: Path, measured: Subject) -> None:
    """Raises UsageError for a folder with anything else than results of this model."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError("this is a file", where=str(folder), remedy="name a folder for the results")
    if not (folder / RESULTS).is_file():
        others = [p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name != VECTORS]
        if others and not has_outcomes(folder):
            raise UsageError(
                f"the folder holds something else than results ({others[0]}) and is left alone",
                where=str(folder),
                remedy="choose a new folder",
            )
        return
    stored = read_json(folder / RESULTS, format=FORMAT, version=VERSION).get("model", {})
    if stored.get("fingerprint") != measured.fingerprint:
        raise UsageError(
            f"the folder holds results of another model, {stored.get('name')!r}",
            where=str(folder),
            remedy="choose a new folder, one a model",
        )
