"""`tune`: try settings of a recipe on development records, and say which to take and what they gain.

A search is a list of settings, each trained by `train_run` in a directory of its own. The list is a function of the space and the
recipe's seed, and a trial that is written down is never run again: the same call goes on with a search that was stopped, and more
trials or seeds go on with one that had ended.

No figure of the search is one that is reported later. First what `nearfar train` would hold out is set aside, by the same draw,
and never looked at; of the rest a share is held out as development records, the same for every trial. And since the best of many
trials looks better than it is, the gain is cross-fitted: on each half of the development records the trial is taken that was best
on the other half, and its scores there are compared with those of the recipe's own settings, record by record.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nearfar.core.draws import uniform
from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import ensure_directory, read_json, unwritable, write_text
from nearfar.core.recipe import Recipe
from nearfar.core.tree import leaves, to_json
from nearfar.data.bad_records import BadRecords
from nearfar.data.records import Records
from nearfar.probes.statistics import Paired, paired
from nearfar.training.open_data import open_data, split_records
from nearfar.training.train import Trained, recipe_of, train_run

FORMAT, VERSION = "nearfar-tune", 1
DESCRIPTION, TRIALS, RUNS, SCORES = "tune.json", "trials.jsonl", "runs", "scores.npy"
DEVELOPMENT = 0.1  # of the training records, where the recipe does not say how much it holds out
ATTEMPTS = 50  # draws for each new trial: a small space runs out of settings that were not tried

Settings = dict[str, Any]
Metric = Literal["mrr", "recall@10"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones where both are; on a logarithmic scale with `log`.

    >>> Range(1e-4, 1e-2, log=True).at(0.5), Range(1, 4).at(0.99)
    (0.001, 4)
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone: 1 is one, 1.0 is not."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, share: float) -> float | int:
        """The number at a share of the way, to four digits: what is printed is what was tried."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.4g}")


Space = Mapping[str, Range | Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Trial:
    """Some settings, trained with each seed. `value` is the mean of the metric, None where training failed; then `error` says why.

    scores   of each development record, the mean over seeds
    seconds  of all its seeds
    """

    settings: Settings
    value: float | None = None
    scores: NDArray[np.float64] | None = None
    seconds: float = 0.0
    error: str = ""

    @property
    def arguments(self) -> list[str]:
        """The settings as `--set` takes them."""
        return [f"{name}={_text(value)}" for name, value in self.settings.items()]


@dataclass(frozen=True, eq=False)
class Tuned:
    """How a search ended.

    trials       of which something is known, the best first, failed ones last
    gain         of choosing among them over the recipe's own settings, cross-fitted; None where there was no choice
    development  records the trials were measured on; `untouched` ones are held out by `nearfar train`
    pending      trials not run: the budget was spent, or the search interrupted
    """

    directory: Path
    metric: Metric
    trials: tuple[Trial, ...]
    gain: Paired | None
    development: int
    untouched: int
    pending: int = 0
    interrupted: bool = False

    @property
    def best(self) -> Trial:
        """The trial with the highest value."""
        return self.trials[0]

    @property
    def default(self) -> Trial:
        """The recipe's own settings."""
        return next(trial for trial in self.trials if not trial.settings)


def tune(
    recipe: str | Path | Recipe,
    data: Any,
    space: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    columns: str | Sequence[str] | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    trials: int = 20,
    seeds: int = 1,
    budget: float | None = None,
    metric: Metric = "mrr",
    on_bad: Literal["raise", "skip"] = "raise",
    bad_share: float = BadRecords.share,
    keep_models: bool = False,
    progress: Progress | None = None,
) -> Tuned:
    """Train a recipe with its own settings and with `trials` others, and compare them on development records.

    space        a JSON file or a mapping: {"objective.temperature": [0.02, 0.05], "fit.learning_rate": {"low": 1e-4, "high": 1e-2,
                 "log": true}}. A space of lists that is no larger than `trials` is tried whole; else settings are drawn
    out          the directory of the search; the same one again goes on with it
    settings     overrides that all trials share
    seeds        trainings of each setting, with the recipe's seed and the following ones; their scores are averaged
    budget       seconds after which no further training begins; the recipe's own settings are always tried
    keep_models  keep model and checkpoints of every training; else only its figures stay

    A training that fails is written down with its error and does not end the search, unless it is that of the recipe's own settings.
    Raises UsageError for a misspelt setting or a directory of another search, DataError for data or a space that cannot be used.
    """
    search = _Search.begin(
        recipe,
        data,
        Path(out),
        columns,
        tuple(settings),
        seed,
        metric,
        BadRecords(on_bad, share=bad_share),
        keep_models,
    )
    found = read_space(space)
    for name, values in found.items():
        for value in (
            [values.low, values.high] if isinstance(values, Range) else values
        ):  # a misspelt name or a value of the wrong kind is told of before anything is trained
            recipe_of(search.recipe, [f"{name}={_text(value)}"])
    if trials < 1 or seeds < 1 or (budget is not None and not budget > 0):
        raise UsageError(
            f"a search of {trials} trials, {seeds} seeds and {budget} seconds",
            where="tune",
            remedy="give at least one of each",
        )
    known = leaves(search.recipe)
    drawn = trial_settings(found, trials, search.recipe.seed)
    listed = [{}, *(s for s in drawn if any(known.get(n) != v for n, v in s.items()))]
    started, pending, interrupted = time.monotonic(), 0, False
    best = ""
    # Seed by seed: what a budget cuts off is the last seeds of all settings, not all seeds of the last settings.
    todo = [(s, search.recipe.seed + k) for k in range(seeds) for s in listed]
    for number, (chosen, with_seed) in enumerate(todo):
        if progress is not None:
            progress(number, len(todo), best)
        if search.line(chosen, with_seed) is None:
            spent = budget is not None and time.monotonic() - started > budget
            if interrupted or (spent and (chosen or with_seed > search.recipe.seed)):
                pending += 1
                continue
            interrupted = not search.run(chosen, with_seed)
            pending += interrupted
        best = search.best_line()
    if progress is not None:
        progress(len(todo) - pending, len(todo), best)
    # Settings are compared on as many seeds as all that were tried have in common: a budget may have cut off the last ones.
    done = [search.seeds_done(s, seeds) for s in listed]
    common = min((count for count in done if count), default=0)
    tried = [search.trial(s, common) for s, count in zip(listed, done, strict=True) if count]
    # Among equals the first one, so that the recipe's own settings are left only for something better.
    ranked = sorted(tried, key=lambda t: math.inf if t.value is None else -t.value)
    return Tuned(
        search.directory,
        metric,
        tuple(ranked),
        cross_fitted_gain(ranked),
        len(search.development),
        search.untouched,
        pending,
        interrupted,
    )


def cross_fitted_gain(trials: Sequence[Trial]) -> Paired | None:
    """What choosing the best trial gains over the recipe's own settings, on records that had no say in the choice.

    None without the recipe's own settings, another trial, or scores of single records.
    """
    scored = [t for t in trials if t.scores is not None and t.value is not None]
    default = next((t.scores for t in scored if not t.settings), None)
    if default is None or len(scored) < 2 or len(default) < 4:
        return None
    table = np.stack([t.scores for t in scored if t.scores is not None])
    taken = np.empty_like(default)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - (half.start or 0), None, 2)
        taken[half] = table[int(table[:, other].mean(1).argmax()), half]
    return paired(taken, default)


def read_space(source: str | Path | Mapping[str, Any]) -> dict[str, Range | list[Any]]:
    """A space from a JSON file or a mapping. Raises DataError, which names the setting, for what is neither a list nor a range.

    >>> read_space({"fit.epochs": [1, 2], "fit.learning_rate": {"low": 0.001, "high": 0.1, "log": True}})
    {'fit.epochs': [1, 2], 'fit.learning_rate': Range(low=0.001, high=0.1, log=True)}
    """
    place = "space" if isinstance(source, Mapping) else str(source)
    data: Any = source
    if not isinstance(source, Mapping):
        try:
            data = json.loads(Path(source).read_text("utf-8"))
        except OSError as error:
            raise DataError(f"cannot read: {error.strerror}", where=place, remedy="give a JSON file") from error
        except ValueError as error:
            raise DataError(f"this is no JSON: {error}", where=place, remedy='write {"fit.epochs": [1, 2]}') from error
    if not isinstance(data, Mapping) or not data:
        raise DataError("a space names settings", where=place, remedy='write {"fit.epochs": [1, 2]}')
    return {str(name): _dimension(values, f"{place}, {name}") for name, values in data.items()}


def _dimension(values: Any, where: str) -> Range | list[Any]:
    remedy = 'write a list of values, or {"low": 1e-4, "high": 1e-2, "log": true}'
    if isinstance(values, Range):
        return values
    if isinstance(values, (list, tuple)) and values:
        return list(values)
    if not isinstance(values, Mapping) or not {"low", "high"} <= set(values) <= {"low", "high", "log"}:
        raise DataError(f"{values!r} is neither a list of values nor a range", where=where, remedy=remedy)
    low, high, log = values["low"], values["high"], values.get("log", False)
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise DataError(f"no range from {low!r} to {high!r}", where=where, remedy=remedy)
    return Range(low, high, log)


def trial_settings(space: Space, trials: int, seed: int) -> list[Settings]:
    """The settings to try, each once: all of a space of lists that is small enough, else draws. More trials begin with the same ones.

    >>> len(trial_settings({"a": [1, 2], "b": [1, 2, 3]}, 10, seed=0)), len(trial_settings({"a": [1, 2], "b": [1, 2, 3]}, 4, seed=0))
    (6, 4)
    """
    lists = [values for values in space.values() if not isinstance(values, Range)]
    if len(lists) == len(space) and math.prod(map(len, lists)) <= trials:
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
    found: dict[str, Settings] = {}
    for number in range(ATTEMPTS * trials):
        drawn = {name: _drawn(values, name, number, seed) for name, values in space.items()}
        found.setdefault(_key(drawn), drawn)
        if len(found) == trials:
            break
    return list(found.values())


def _drawn(values: Range | Sequence[Any], name: str, number: int, seed: int) -> Any:
    share = float(uniform(seed, f"tune {name}", number))
    return values.at(share) if isinstance(values, Range) else values[int(share * len(values))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


@dataclass
class _Search:
    """A directory of trials, the records they share, and what is known of them."""

    recipe: Recipe
    directory: Path
    training: Records
    development: Records
    untouched: int
    metric: Metric
    keep_models: bool
    lines: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        recipe: str | Path | Recipe,
        data: Any,
        directory: Path,
        columns: str | Sequence[str] | None,
        settings: tuple[str, ...],
        seed: int | None,
        metric: Metric,
        policy: BadRecords,
        keep_models: bool,
    ) -> _Search:
        """Make or open the directory, and split the records."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError("a search runs in one process", where="tune", remedy="start it without torchrun")
        chosen = recipe_of(recipe, settings, seed)
        ensure_directory(directory)
        bad = directory / "bad_records.jsonl" if policy.on_bad == "skip" else None
        opened = open_data(chosen, data, columns, on_bad=policy.on_bad, bad_records=bad, bad_share=policy.share)
        # Another draw than that of the held-out records; the same for all trials and seeds.
        training, development = split_records(opened.records, chosen.held_out or DEVELOPMENT, chosen.held_out_seed + 1)
        if development is None or len(development) < 2:
            raise DataError(
                f"of {len(opened.records):,} training records none can be held out to compare settings on",
                where=opened.whole.source,
                remedy="give more records: some hundred tell settings apart",
            )
        untouched = 0 if opened.held_out is None else len(opened.held_out)
        search = cls(chosen, directory, training, development, untouched, metric, keep_models)
        search._describe(opened.whole.fingerprint)
        search._read()
        return search

    def _describe(self, fingerprint: str) -> None:
        """Write down what is searched, or make sure that it is what was."""
        now = {"recipe": json.loads(json.dumps(to_json(self.recipe))), "data": fingerprint, "metric": self.metric}
        path = self.directory / DESCRIPTION
        if not path.exists():
            write_text(path, json.dumps({"format": FORMAT, "version": VERSION, **now}, indent=1) + "\n")
            return
        was = read_json(path, format=FORMAT, version=VERSION)
        changed = [name for name, value in now.items() if was.get(name) != value]
        if changed:
            raise UsageError(
                f"this search was begun with another {' and '.join(changed)}",
                where=str(path),
                remedy="give the same, or choose another --out",
            )

    def _read(self) -> None:
        path = self.directory / TRIALS
        text = path.read_text("utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a search that was killed may leave half a line
        if whole != text:
            write_text(path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                self.lines[_key(entry["settings"]), int(entry["seed"])] = entry
            except (ValueError, KeyError, TypeError) as error:
                raise DataError("a damaged line", where=f"{path}:{number}", remedy="remove it") from error

    def line(self, settings: Settings, seed: int) -> dict[str, Any] | None:
        """What is written of a training, if it has ended."""
        return self.lines.get((_key(settings), seed))

    def run(self, settings: Settings, seed: int) -> bool:
        """Train once and write it down; False if the user stopped it, and then nothing is written: it goes on next time."""
        name = hashlib.sha256(_key(settings).encode()).hexdigest()[:10]
        directory = self.directory / RUNS / f"{name}-seed{seed}"
        begun = (directory / "config.json").exists()
        entry: dict[str, Any] = {"settings": settings, "seed": seed, "directory": f"{RUNS}/{directory.name}"}
        started = time.monotonic()
        try:
            made = train_run(
                self.recipe,
                self.training,
                settings=Trial(settings).arguments,
                seed=seed,
                held_out=self.development,
                resume=directory if begun else None,
                out=None if begun else directory,
            )
            if made.fitted.interrupted:
                return False
            if not made.figures:
                raise DataError("the development records are too few to measure anything", remedy="give more data")
            scores = self._scores(made)
            if scores is not None:
                np.save(directory / SCORES, scores, allow_pickle=False)
            entry |= {"value": made.figures[self.metric]["mean"], "steps": made.fitted.steps}
            if not self.keep_models:
                shutil.rmtree(made.run.model, ignore_errors=True)
                shutil.rmtree(made.run.checkpoints, ignore_errors=True)
        except Exception as error:  # whatever goes wrong with some settings, others are still tried
            if not settings:
                raise  # of the recipe's own settings: nothing could be compared with anything
            entry |= {"error": f"{type(error).__name__}: {error}"}
        entry["seconds"] = round(time.monotonic() - started, 3)
        self._write(entry)
        return True

    def _scores(self, made: Trained) -> NDArray[np.float64] | None:
        """The metric of each development record, where single records can be measured."""
        found = made.retrieval
        if found is None:
            return None
        return np.asarray(found.reciprocal_ranks if self.metric == "mrr" else found.recalls(10), dtype=np.float64)

    def _write(self, entry: dict[str, Any]) -> None:
        path = self.directory / TRIALS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise unwritable(path, error) from error
        self.lines[_key(entry["settings"]), entry["seed"]] = entry

    def seeds_done(self, settings: Settings, seeds: int) -> int:
        """How many of the seeds, from the first on, have been trained, or failed."""
        known = (self.line(settings, self.recipe.seed + k) is not None for k in range(seeds))
        return sum(itertools.takewhile(bool, known))

    def trial(self, settings: Settings, seeds: int) -> Trial:
        """What the first seeds of some settings say together."""
        lines = [line for k in range(seeds) if (line := self.line(settings, self.recipe.seed + k)) is not None]
        seconds = sum(line["seconds"] for line in lines)
        errors = [line["error"] for line in lines if "error" in line]
        if errors:
            return Trial(settings, seconds=seconds, error=errors[0])
        scores = list(self._stored(lines))
        together = np.mean(scores, axis=0) if len(scores) == len(lines) else None
        return Trial(settings, float(np.mean([line["value"] for line in lines])), together, seconds)

    def _stored(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[NDArray[np.float64]]:
        for line in lines:
            path = self.directory / RUNS / Path(line["directory"]).name / SCORES
            if path.exists():
                yield np.load(path, allow_pickle=False)

    def best_line(self) -> str:
        """For a progress bar: the best value so far."""
        values = [line["value"] for line in self.lines.values() if "value" in line]
        return f"best {self.metric} {max(values):.3f}" if values else ""
