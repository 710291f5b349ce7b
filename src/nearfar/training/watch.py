"""`Watch`: what is written down and said while a stage trains - metrics, loggers, callbacks, progress, the doctor's findings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.rows import Rows
from nearfar.core.stage import Fit
from nearfar.core.tree import to_json
from nearfar.execution.micro_batched import Step
from nearfar.execution.pair_counts import pair_counts
from nearfar.objectives.scored import Scored
from nearfar.probes.doctor import Doctor, Finding
from nearfar.probes.vital_signs import tower_norms, vital_signs
from nearfar.training.learner import Learner
from nearfar.training.loggers import Loggers
from nearfar.training.progress import Standing, chance_of
from nearfar.training.state import State

EVERY = 20  # steps between two looks at the vital signs
COUNTED = 256  # queries whose dropped negatives are counted


class Watch:
    """Of one stage. Entries go to metrics.jsonl first. A logger that fails is told of and never ends a run; a callback does, since it
    has the learner in its hands and the training may rest on what it does there.
    """

    def __init__(
        self, state: State, stage: Fit, learner: Learner, history: list[dict[str, Any]], batch: int, step: int
    ) -> None:
        self.batch, self.begun, self.started = batch, step, time.perf_counter()
        self.chance: float | None = None
        self.state, self.stage, self.learner = state, stage, learner
        self.measured = [e["held_out"] for e in history if "held_out" in e]
        self.doctor = Doctor({"recipe": to_json(state.recipe), "stage": stage.name})
        self.told = [finding for entry in history for finding in self.doctor(entry)]  # by the process before
        self.loggers = Loggers(state.loggers if state.run is not None else ())
        self.loggers.rewind(stage.name, history[-1]["step"] if history else 0)

    def signs(self, step: int, total: int, made: Step) -> Callable[[], dict[str, float]]:
        """Before the optimiser's step and before anything remembers it: look, now and then. Call what comes back after the step."""
        if step % EVERY and step + 1 != total:
            return dict
        ranks, rows = self.state.ranks, made.rows
        if ranks is not None:  # the loss is that of all rows, so its chance level has to be too
            rows = {n: g.rows for n, g in ranks.gather({n: r.detach() for n, r in rows.items()}).items()}
        found = vital_signs(rows, self.learner.at_this_step(), made)
        norms = tower_norms(dict(self.learner.towers.items()))
        return lambda: {**found, **norms()}

    def step(self, entry: dict[str, Any], total: int) -> None:
        """One step's entry."""
        self._write(entry)
        for callback in self.state.callbacks:
            try:
                callback(entry, self.learner)
            except (NearfarError, MemoryError):
                raise
            except Exception as error:
                raise UsageError(
                    f"a callback failed after step {entry['step']}: {type(error).__name__}: {error}; the last checkpoint is as it was",
                    where=getattr(callback, "__qualname__", type(callback).__qualname__),
                    remedy="mend it, then go on with resume=...",
                ) from error
        if self.state.progress is not None:
            self.state.progress(self._standing(entry, total))

    def _standing(self, entry: Mapping[str, Any], total: int) -> Standing:
        if "scored_chance" in entry:
            self.chance = chance_of(entry)
        seconds = max(time.perf_counter() - self.started, 1e-9)
        rate = (entry["step"] - self.begun) * self.batch / seconds
        return Standing(entry["step"], total, entry["loss"], self.chance, rate)

    def measure(self, entry: dict[str, Any]) -> None:
        """What held-out records said."""
        self.measured.append(entry["held_out"])
        self._write(entry)

    def conclude(self) -> None:
        """The stage has ended: findings that only the whole of it shows are told now; those of an earlier process count too."""
        known = {(f.stage, f.name) for f in self.told}
        found = self.doctor.findings(ended=True)
        for finding in found:
            if (finding.stage, finding.name) not in known:
                self._tell(finding)
        self.state.findings = [f for f in self.state.findings if f.stage != self.stage.name] + found

    def close(self) -> None:
        """Flush what is written."""
        self.loggers.close()

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self.state.run is None:
            return
        self.state.run.log(dict(entry))
        self.loggers.log(entry)
        for finding in self.doctor(entry):
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        self.state.findings.append(finding)
        self.told.append(finding)
        if self.state.progress is not None:
            print(f"doctor: {finding}", file=sys.stderr, flush=True)


def dropped_negatives(terms: Mapping[str, Scored], rows: Mapping[str, Rows]) -> dict[str, float]:
    """Negatives that relation and edits dropped, a query: of the first queries against all keys, by the names of the terms."""
    counted = {}
    # An edit may draw, and the training's draws must not depend on being watched.
    with torch.random.fork_rng(devices=[]):
        for name, term in terms.items():
            if term.keys is not None or term.own is not None or term.keys_from is None or term.row != "vector":
                continue
            counts = pair_counts(term, rows[term.queries_from].take(slice(COUNTED)), rows[term.keys_from])
            counted["dropped_negatives" + (f"/{name}" if name else "")] = counts.dropped_per_row
    return counted
