"""`Watch`: what is written down and said while a stage trains - metrics, loggers, callbacks, progress, the doctor's findings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.stage import Fit
from nearfar.core.tree import to_json
from nearfar.execution.micro_batched import Step
from nearfar.probes.doctor import Doctor, Finding
from nearfar.probes.vital_signs import tower_norms, vital_signs
from nearfar.training.learner import Learner
from nearfar.training.loggers import Loggers
from nearfar.training.state import State

EVERY = 20  # steps between two looks at the vital signs


class Watch:
    """Of one stage. Entries go to metrics.jsonl first. A logger that fails is told of and never ends a run; a callback does, since it
    has the learner in its hands and the training may rest on what it does there.
    """

    def __init__(self, state: State, stage: Fit, learner: Learner, history: list[dict[str, Any]]) -> None:
        self.state, self.stage, self.learner = state, stage, learner
        self.measured = [e["held_out"] for e in history if "held_out" in e]
        self.doctor = Doctor({"recipe": to_json(state.recipe), "stage": stage.name})
        for entry in history:
            self.doctor(entry)  # told already, by the process before
        self.loggers = Loggers(state.loggers if state.run is not None else ())
        self.loggers.rewind(stage.name, history[-1]["step"] if history else 0)

    def signs(self, step: int, total: int, made: Step) -> Callable[[], dict[str, float]]:
        """Before the optimiser's step and before anything remembers it: look, now and then. Call what comes back after the step."""
        if step % EVERY and step + 1 != total:
            return dict
        found = vital_signs(made.rows, self.learner.at_this_step(), made)
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
            self.state.progress(entry["step"], total, entry["loss"])

    def measure(self, entry: dict[str, Any]) -> None:
        """What held-out records said."""
        self.measured.append(entry["held_out"])
        self._write(entry)

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
        if self.state.progress is not None:
            print(f"doctor: {finding}", file=sys.stderr, flush=True)
