"""`compare`: is B better than A, by how much, how sure, and on which queries do they differ most?

    nf.compare("runs/pairs-1", "runs/pairs-2").sentence
    nf.compare(["runs/a-1", "runs/a-2", ...], ["runs/b-1", "runs/b-2", ...], metric="recall@10")

A side is a run, a folder of results, outcomes by the names of their tasks, or a list of such: runs of several seeds. What is compared
is what `stored_outcomes` reads, by `statistics`, or by `compare_runs` where a side has several runs. The first sentence rests on the main
metric of each task (or the one asked for); beside every p value of a table stands Holm's, which accounts for all rows of that table.
`Figures`, which were measured as a whole, stand beside one another in `wholes`, without interval and verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.parts import unknown
from nearfar.probes.compare_runs import compare_runs
from nearfar.probes.corrections import holm
from nearfar.probes.figures import Figures
from nearfar.probes.matched import matched
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import Paired, compare_outcomes
from nearfar.probes.stored_outcomes import has_outcomes, load_figures, load_outcomes

CARD = Card(
    name="compare",
    summary="whether one run or result is better than another, by how much, how sure, and on which queries",
    related=("statistics", "compare_runs", "corrections", "stored_outcomes"),
    public=("compare",),
)

Side = str | Path | Mapping[str, Outcome] | Sequence[Any]


@dataclass(frozen=True)
class Row:
    """One metric of one task.

    a, b    the figure of each side, on the units they share; of several runs the mean
    found   the comparison b - a
    holm    its p value with all rows accounted for; None where it has none
    """

    task: str
    metric: str
    a: float
    b: float
    found: Paired
    holm: float | None = None

    @property
    def verdict(self) -> str:
        """That of b against a, Holm's p value in the place of its own."""
        return replace(self.found, p_value=self.holm).verdict


@dataclass(frozen=True)
class Whole:
    """A figure that was measured as a whole: of each side one value (of several runs the mean), and nothing to tell chance by."""

    task: str
    metric: str
    a: float
    b: float
    higher: bool


@dataclass(frozen=True)
class Unit:
    """A query, pair or record, and what each side has there."""

    task: str
    name: str
    a: float
    b: float

    @property
    def difference(self) -> float:
        """b - a."""
        return self.b - self.a


@dataclass(frozen=True, eq=False)
class Compared:
    """Two sides, row by row: the metric that counts of every task in `rows`, all other metrics in `others`; `wholes` have no units."""

    a: str
    b: str
    rows: tuple[Row, ...]
    others: tuple[Row, ...]
    notes: tuple[str, ...]
    units: tuple[Unit, ...]
    wholes: tuple[Whole, ...] = ()

    @property
    def verdict(self) -> str:
        """ "better", "worse", "unclear", or "mixed": better on some tasks, worse on others."""
        found = set(self._verdicts) - {"unclear"}
        return "mixed" if len(found) > 1 else found.pop() if found else "unclear"

    @property
    def _verdicts(self) -> list[str]:
        """Of one row its own: the metric that counts was chosen beforehand. Of several what Holm leaves of them."""
        return [self.rows[0].found.verdict] if len(self.rows) == 1 else [row.verdict for row in self.rows]

    @property
    def sentence(self) -> str:
        """Whether b is better than a, by how much and how sure that is."""
        if not self.rows:
            return f"{self.b} and {self.a} were measured as a whole only: there is no interval, and no verdict."
        if len(self.rows) == 1:
            row = self.rows[0]
            return row.found.sentence(self.b, self.a, metric=row.metric)
        count, n = Counter(self._verdicts), len(self.rows)
        level = f"{100 * (1 - self.rows[0].found.confidence):.3g} %"
        differences = [row.found.difference.mean * (1 if row.found.higher else -1) for row in self.rows]
        how = f"mean gain {np.mean(differences):+.3f} over {n} tasks; Holm's correction, level {level}"
        found = self.rows[0].found
        least = n * found.smallest_p
        if least > 1 - found.confidence:
            how += f"; with {found.n} {found.units} not even the best task can be below {min(1, least):.2g}, take more"
        claims = {
            "better": f"{self.b} is better than {self.a} on {count['better']} of {n} tasks and surely worse on none",
            "worse": f"{self.b} is worse than {self.a} on {count['worse']} of {n} tasks and surely better on none",
            "mixed": f"{self.b} is better than {self.a} on {count['better']} of {n} tasks and worse on {count['worse']}",
            "unclear": f"No sure difference between {self.b} and {self.a} on any of {n} tasks",
        }
        return f"{claims[self.verdict]} ({how})."

    @property
    def counts(self) -> tuple[int, int, int]:
        """Units on which b is above a, below it, and equal to it."""
        above, below = (sum(sign * unit.difference > 0 for unit in self.units) for sign in (1, -1))
        return above, below, len(self.units) - above - below

    def most(self, n: int = 5) -> tuple[list[Unit], list[Unit]]:
        """The units on which b is above a by most, and those on which it is below by most: up to n of each."""
        order = sorted(self.units, key=lambda unit: unit.difference)
        return [u for u in order[::-1][:n] if u.difference > 0], [u for u in order[:n] if u.difference < 0]


def compare(
    a: Side,
    b: Side,
    metric: str = "",
    *,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[..., Any] | None = None,
) -> Compared:
    """Compare b with a: runs, folders of results, outcomes by task, or lists of these (runs of several seeds, as many on both sides).

    metric     for all tasks, instead of the main one of each
    progress   called with (rows done, rows) after each

    >>> found = lambda *values: {"sorting": Outcome("p", "mrr", "queries", {"mrr": np.array(values * 20)}, means=("mrr",))}
    >>> made = compare(found(0.5, 0.2, 0.3), found(0.6, 0.4, 0.3))
    >>> made.verdict, made.sentence[:33]
    ('better', 'B is better than A in mrr (+0.100')

    Raises DataError for sides without outcomes, without a task in common, or measured on different data or units; UsageError for
    a metric that is not there, and for sides of several runs that are not equally many.
    """
    runs_a, runs_b = _runs(a), _runs(b)
    first_a, first_b = runs_a[0].outcomes, runs_b[0].outcomes
    tasks = [task for task in first_a if all(task in run.outcomes for run in [*runs_a, *runs_b])]
    wholes = _wholes(metric, runs_a, runs_b)
    if not tasks and not wholes:
        named = [", ".join([*run.outcomes, *run.figures]) for run in (runs_a[0], runs_b[0])]
        raise DataError(
            f"the sides have no task in common: {named[0]} and {named[1]}",
            where=f"{_name(runs_a, 'A')}, {_name(runs_b, 'B')}",
            remedy="measure both with the same tasks",
        )
    wanted = [(task, metric or first_a[task].main) for task in tasks]
    for task, name in wanted:
        if name not in first_a[task].names_of_metrics:
            raise unknown(name, first_a[task].names_of_metrics, f"metric of {task}")
    others = [(t, m) for t in tasks for m in first_a[t].names_of_metrics if (t, m) not in wanted]
    others = [(t, m) for t, m in others if m in first_b[t].names_of_metrics]
    others = [] if metric or len(tasks) > 1 else others
    rows: list[Row] = []
    runs_a, runs_b = _by_seed(runs_a, runs_b)
    for task, name in wanted + others:
        rows.append(_row(task, name, runs_a, runs_b, confidence, seed))
        if progress is not None:
            progress(len(rows), len(wanted + others))
    corrected = _with_holm(rows)
    return Compared(
        _name(runs_a, "A"),
        _name(runs_b, "B"),
        corrected[: len(wanted)],
        corrected[len(wanted) :],
        tuple(_notes([*tasks, *dict.fromkeys(whole.task for whole in wholes)], runs_a, runs_b, rows)),
        tuple(unit for task, name in wanted for unit in _units(task, name, runs_a, runs_b)),
        wholes,
    )


@dataclass(frozen=True)
class _Run:
    name: str
    outcomes: Mapping[str, Outcome]
    seed: Any = None
    figures: Mapping[str, Figures] = field(default_factory=dict)


def _runs(side: Side) -> list[_Run]:
    if isinstance(side, (str, Path)):
        folder = Path(side)
        if not has_outcomes(folder):
            raise DataError(
                "there are no outcomes here" if folder.is_dir() else "there is no such run or result",
                where=str(side),
                remedy="give a run that ended and held records out, or a folder that `nearfar evaluate` wrote",
            )
        outcomes, about = load_outcomes(folder)
        return [_Run(str(side), outcomes, about.get("seed"), load_figures(folder))]
    if isinstance(side, Mapping):
        return [_Run("", side)]
    runs = [run for one in side for run in _runs(one)]
    if not runs:
        raise UsageError("a side has no runs", remedy="give a run, or a list of runs")
    return runs


def _name(runs: Sequence[_Run], default: str) -> str:
    names = [run.name for run in runs]
    if not all(names):
        return default
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _by_seed(a: list[_Run], b: list[_Run]) -> tuple[list[_Run], list[_Run]]:
    """Runs of the same seed stand opposite one another, where both sides have the same seeds."""
    seeds = [[run.seed for run in side] for side in (a, b)]
    if len(a) == 1 or Counter(map(str, seeds[0])) != Counter(map(str, seeds[1])):
        return a, b
    return sorted(a, key=lambda run: str(run.seed)), sorted(b, key=lambda run: str(run.seed))


def _row(task: str, metric: str, a: Sequence[_Run], b: Sequence[_Run], confidence: float, seed: int) -> Row:
    ours, rivals = [run.outcomes[task] for run in b], [run.outcomes[task] for run in a]
    try:
        if len(a) == len(b) == 1:
            found = compare_outcomes(ours[0], rivals[0], metric, confidence=confidence, seed=seed)
        else:
            found = compare_runs(ours, rivals, metric, confidence=confidence, seed=seed)
    except DataError as error:
        remedy = error.remedy + "; give all runs one held-out set: the same data, held_out and held_out_seed"
        is_run = any(run.seed is not None for run in (*a, *b))
        raise DataError(error.what, where=task, remedy=remedy if is_run else error.remedy) from error
    lost = len(found.only_a) + len(found.only_b)
    if lost > found.n and found.units != "runs":
        raise DataError(
            f"only {found.n:,} {found.units} are the same for both sides, and {lost:,} are not",
            where=task,
            remedy="measure both on the same records",
        )
    if len(a) > 1:
        figures = [float(np.mean([one.figure(metric) for one in side])) for side in (rivals, ours)]
    else:
        rows_a, rows_b = matched(rivals[0], ours[0])
        figures = [rivals[0].figure(metric, rows_a), ours[0].figure(metric, rows_b)]
    return Row(task, metric, figures[0], figures[1], found)


def _wholes(metric: str, a: Sequence[_Run], b: Sequence[_Run]) -> tuple[Whole, ...]:
    """Figures that all runs have. Raises DataError where they were measured on different data."""
    found = []
    for task, first in a[0].figures.items():
        if not all(task in run.figures for run in (*a, *b)):
            continue
        if len({run.figures[task].facts.get("fingerprint") for run in (*a, *b)}) > 1:
            raise DataError(
                "the two were measured on different data: their fingerprints differ",
                where=task,
                remedy="measure both on the same records",
            )
        for name in first.figures():
            if metric in ("", name) and all(name in run.figures[task].values for run in (*a, *b)):
                ours, rivals = (float(np.mean([run.figures[task].figure(name) for run in side])) for side in (a, b))
                found.append(Whole(task, name, ours, rivals, first.is_better_higher(name)))
    return tuple(found)


def _with_holm(rows: Sequence[Row]) -> tuple[Row, ...]:
    tested = [row.found.p_value for row in rows if row.found.p_value is not None]
    adjusted = iter(holm(tested).tolist())
    return tuple(row if row.found.p_value is None else replace(row, holm=next(adjusted)) for row in rows)


def _units(task: str, metric: str, a: Sequence[_Run], b: Sequence[_Run]) -> list[Unit]:
    """What each side has on each unit; nothing for a metric that single units do not have."""
    first = a[0].outcomes[task]
    if metric not in first.means:
        return []
    common, _ = matched(first, b[0].outcomes[task])
    sides = []
    for side in (a, b):
        total = np.zeros(len(first))
        for run in side:
            rows, others = matched(first, run.outcomes[task])
            total[rows] += np.asarray(run.outcomes[task].columns[metric], dtype=np.float64)[others] / len(side)
        sides.append(total)
    names = first.names if len(first.names) else [f"number {row}" for row in range(len(first))]
    return [Unit(task, str(names[row]), float(sides[0][row]), float(sides[1][row])) for row in common]


def _notes(tasks: Sequence[str], a: Sequence[_Run], b: Sequence[_Run], rows: Sequence[Row]) -> list[str]:
    notes = []
    every = dict.fromkeys(task for run in (*a, *b) for task in (*run.outcomes, *run.figures))
    left_out = [task for task in every if task not in tasks]
    if left_out:
        notes.append(f"not on both sides, and left out: {', '.join(left_out)}")
    for task in tasks:
        if task not in a[0].outcomes:
            continue
        found = next(row.found for row in rows if row.task == task)
        for lacking, side in ((found.only_a, "B"), (found.only_b, "A")):
            if lacking:
                notes.append(f"{task}: {len(lacking):,} {found.units} that only {side} has are left out")
        one, other = a[0].outcomes[task].facts, b[0].outcomes[task].facts
        unlike = sorted(k for k in {*one, *other} - {"fingerprint"} if one.get(k) != other.get(k))
        notes += [f"{task}: {name} is {one.get(name)} on side A and {other.get(name)} on side B" for name in unlike]
    return notes
