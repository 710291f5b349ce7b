"""Running a claim: tuning on one further seed and the dev part, then every arm with every seed on the test part, then the verdict.

Trials are spread over processes. Each is stored as it ends; a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from nearfar.claims.expectation import comparisons
from nearfar.claims.found import Found, found
from nearfar.claims.judge import Judged, judged, judged_items, means, overall
from nearfar.claims.record import ClaimRecord, new_record, place, read_record, write_record
from nearfar.claims.trial import Trial, Tried, alone, dataset_of, in_process
from nearfar.core.errors import ResourceError, UsageError
from nearfar.probes.outcome import Outcome

DEV_SEED = 1000  # of the trials that choose; no final trial has it
MOST_SECONDS = 20.0  # of one trial on one core: more is told

Run = Callable[[Sequence[Trial], bool], Iterator[Tried]]


class OutOfTime(ResourceError):
    """The budget is spent; what is done is stored, and the same command goes on."""


@contextmanager
def processes(workers: int, deadline: float | None = None) -> Iterator[Run]:
    """A function that runs trials in `workers` processes and gives them back as they end; past the deadline it begins none.

    Raises UsageError with what a failed trial said, and OutOfTime where trials were left.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=alone)

    def run(trials: Sequence[Trial], keep: bool = False) -> Iterator[Tried]:
        left = list(trials)[::-1]
        going: dict[Future[Tried | str], Trial] = {}
        while left or going:
            while left and len(going) < workers and (deadline is None or time.monotonic() < deadline):
                trial = left.pop()
                going[pool.submit(in_process, trial, keep)] = trial
            if not going:
                raise OutOfTime(
                    f"the time is up, with {len(left):,} trials left", remedy="the same command goes on with them"
                )
            for done in wait(going, return_when=FIRST_COMPLETED).done:
                trial, result = going.pop(done), done.result()
                if isinstance(result, str):
                    raise UsageError(
                        f"a trial failed: {result}",
                        where=f"{trial.word}: {trial.key}",
                        remedy="mend it; the others are stored",
                    )
                yield result

    try:
        yield run
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def run_claim(
    made: Found,
    folder: Path,
    run: Run,
    progress: Callable[[int, int, str], None] = lambda *_: None,
    *,
    again: bool = False,
) -> ClaimRecord:
    """The record of a claim: as stored where it is current and complete (unless `again`), else run to its end.

    Raises what trials raise; what was done until then is stored.
    """
    claim, path = made.claim, place(folder, made.name)
    data = dataset_of(claim.data).fingerprint
    record = None if again else read_record(path)
    if record is None or (record.fingerprint, record.data) != (made.fingerprint, data):
        record = new_record(made.name, made.fingerprint, data, claim)
    if record.verdict:
        return record
    arms, settings = list(claim.arms), made.settings()
    choosing = (
        [Trial(made.word, arm, DEV_SEED, "dev", chosen) for chosen in settings for arm in arms]
        if len(settings) > 1
        else []
    )
    seeds = range(claim.n if claim.unit == "seed" else 1)
    total = len(choosing) + len(seeds) * len(arms)
    _do(choosing, record, path, run, progress, total, keep=False)
    best = max if claim.better == "higher" else min
    for arm in arms:
        mine = [t for t in choosing if t.arm == arm]
        record.chosen[arm] = (
            dict(best(mine, key=lambda t: _figure(record, t, claim.metric)).chosen) if mine else dict(settings[0])
        )
    final = [Trial(made.word, arm, seed, "test", record.chosen[arm]) for seed in seeds for arm in arms]
    outcomes = _do(final, record, path, run, progress, total, keep=claim.unit == "item")
    record.metric = claim.metric or record.metric
    expected = comparisons(claim.expect, arms)
    if claim.unit == "item":
        results = [
            judged_items(c, outcomes[c.first], outcomes[c.second], c.metric or record.metric, claim.margin)
            for c in expected
        ]
    else:
        results = []
        for c in expected:
            first, second = (record.figures(arm, seeds, c.metric or record.metric) for arm in (c.first, c.second))
            results.append(judged(c, first, second, claim.margin))
    record.means = means({arm: record.figures(arm, seeds, record.metric) for arm in arms})
    record.comparisons = [_told(one) for one in results]
    record.verdict = overall(results)
    write_record(record, path)
    return record


def _do(
    trials: Sequence[Trial],
    record: ClaimRecord,
    path: Path,
    run: Run,
    progress: Callable[[int, int, str], None],
    total: int,
    *,
    keep: bool,
) -> dict[str, Outcome]:
    """Run what is not stored yet and store it; the outcomes by arm where they are kept, which nothing stores: those run anew."""
    outcomes: dict[str, Outcome] = {}
    missing = [t for t in trials if keep or t.key not in record.trials]
    for tried in run(missing, keep):
        t = tried.trial
        record.trials[t.key] = {
            "arm": t.arm,
            "seed": t.seed,
            "split": t.split,
            "chosen": dict(t.chosen),
            "figures": dict(tried.figures),
            "seconds": round(tried.seconds, 2),
        }
        record.metric = record.metric or tried.main
        if keep and tried.outcome is None:
            raise UsageError(
                "items are the unit, and the trial gives figures only", where=record.name, remedy="return an Outcome"
            )
        if tried.outcome is not None:
            outcomes[t.arm] = tried.outcome
        write_record(record, path)
        progress(len(record.trials), total, f"{t.arm} {next(iter(tried.figures.values())):.3f}")
    return outcomes


def _figure(record: ClaimRecord, trial: Trial, metric: str) -> float:
    figures = record.trials[trial.key]["figures"]
    return figures[metric] if metric else next(iter(figures.values()))


def _told(one: Judged) -> dict[str, object]:
    return {**asdict(one), "comparison": str(one.comparison)}


def slowest(record: ClaimRecord) -> float:
    """Seconds of the longest trial."""
    return max((trial["seconds"] for trial in record.trials.values()), default=0.0)


def is_current(name: str, record: ClaimRecord) -> bool:
    """Whether a stored record is of the claim as it stands in the recipe now."""
    try:
        return found(name).fingerprint == record.fingerprint
    except UsageError:
        return False
