"""Measuring while training, by any probe: the figures by which a stage stops early and keeps its best weights.

A probe is a function of a user's own (model, records) -> {name: number} or an `Outcome`, or by its name a part of `measures/`, which
sees the training records as the part "train" of a data set and the held-out ones as "dev". Without one, the held-out records are
asked whether each finds its counterpart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.parts import resolve
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.probes.outcome import Outcome
from nearfar.training.early_stopping import Mode, best, should_stop
from nearfar.training.held_out import MOST, held_out_figures
from nearfar.training.options import options, use_of
from nearfar.training.processes import told
from nearfar.training.state import State

Probe = Callable[[], Any]


class Probing:
    """What a stage measures on the way, and what follows from it. Raises UsageError for settings that could have no effect."""

    def __init__(self, stage: Fit, state: State) -> None:
        self.stage, self.state = stage, state
        self.mode: Mode = "max" if stage.better == "higher" else "min"
        self._refuse_without_effect()
        self.asks = stage.measure > 0 and (stage.probe is not None or _some(state.held_out))
        self._probe = (
            None if stage.probe is None or not self.asks else probe_of(stage.probe, state, f"{stage.name}.probe", MOST)
        )

    def _refuse_without_effect(self) -> None:
        """Nobody shall find in the morning that early stopping was never on."""
        stage, name = self.stage, self.stage.name
        wanted = {
            "patience": stage.patience is not None,
            "keep": stage.keep == "best",
            "probe": stage.probe is not None,
        }
        asked = next((setting for setting, given in wanted.items() if given), None)
        if asked is None:
            return
        if stage.patience is not None and stage.patience < 1:
            raise UsageError(
                f"a patience of {stage.patience} measurements",
                where=f"{name}.patience",
                remedy="give 1 or more, or none",
            )
        if not stage.measure:
            raise UsageError(
                f"{name}.{asked} needs measurements on the way, and there are none",
                where=f"{name}.measure",
                remedy=f"--set {name}.measure=1 measures after each pass",
            )
        if stage.probe is None and not _some(self.state.held_out):
            raise UsageError(
                f"{name}.{asked} needs records that are held out, and none are (too few records, or all connected)",
                where="held_out",
                remedy="--set held_out=0.1, give held-out records of your own, or a probe with data of its own",
            )

    def is_due(self, step: int, total: int, per_epoch: int) -> bool:
        """Whether it is time to measure, after so many steps."""
        return self.asks and (step % max(1, round(self.stage.measure * per_epoch)) == 0 or step == total)

    def figures(self, prepared: Any) -> dict[str, float]:
        """Of the model as it is now, the one that counts first; the same on every rank."""
        held_out, stage = self.state.held_out, self.stage
        if self._probe is None:
            assert held_out is not None
            made = held_out_figures(prepared, held_out)
        else:
            made = self._asked()
        if stage.figure and stage.figure not in made:
            raise UsageError(
                f"the probe gives no figure {stage.figure!r}",
                where=f"{stage.name}.figure",
                remedy=f"it gives {', '.join(made)}",
            )
        first = stage.figure or next(iter(made))
        made = {first: made[first], **made}
        # A probe of somebody's own may differ in the last bit from rank to rank, and all must stop together.
        return json.loads(told(json.dumps(made), self.state.ranks))

    def _asked(self) -> dict[str, float]:
        assert self._probe is not None
        where = f"{self.stage.name}.probe"
        self.state.model.eval()
        found = asked(self._probe, where)
        if isinstance(found, Outcome):
            name = self.stage.figure or found.main
            if name in found.names_of_metrics and found.is_better_higher(name) != (self.mode == "max"):
                right = "higher" if found.is_better_higher(name) else "lower"
                raise UsageError(
                    f"{name} is the better the {right} it is",
                    where=f"{self.stage.name}.better",
                    remedy=f"--set {self.stage.name}.better={right}",
                )
        return plain(found, where)

    def is_best(self, measured: Sequence[Mapping[str, float]]) -> bool:
        """Whether the last of these measurements is the best of all."""
        return best(_first(measured), mode=self.mode) == len(measured) - 1

    def verdict(self, measured: Sequence[Mapping[str, float]]) -> str:
        """Why to stop after these measurements; "" to go on."""
        if not measured or not should_stop(_first(measured), self.stage.patience, mode=self.mode):
            return ""
        return f"no better {next(iter(measured[-1]))} in {self.stage.patience} measurements"


def probe_of(by: str | Use | Callable[..., Any], state: State, where: str, most: int | None = None) -> Probe:
    """A probe of the model of a run, on at most so many held-out records; names and options are looked up at once.

    A function sees the training records where nothing is held out: it may have brought data of its own.
    Raises UsageError for an unknown name or option, and for a named probe without held-out records.
    """
    held_out = state.held_out
    if held_out is not None and most is not None:
        held_out = held_out.take(np.arange(min(most, len(held_out))))
    if not isinstance(by, (str, Use)):
        records = held_out if held_out is not None and len(held_out) else state.records
        return lambda: by(state.model, records)
    use = use_of(by)
    function = resolve(use.part, "measures")
    chosen = options(use, function, where, given=3)
    if held_out is None or not len(held_out):
        raise UsageError("nothing is held out to measure on", where=where, remedy="--set held_out=0.1")
    return partial(
        lambda dev: function(
            state.model, Dataset("the run's own", {"train": state.records, "dev": dev}), "dev", **chosen
        ),
        held_out,
    )


def asked(probe: Probe, where: str) -> Any:
    """What a probe finds; what somebody's own raises is told as theirs."""
    try:
        return probe()
    except (NearfarError, MemoryError):
        raise
    except Exception as error:
        raise UsageError(
            f"the probe failed: {type(error).__name__}: {error}; the last checkpoint is as it was",
            where=where,
            remedy="mend it, then go on with --resume",
        ) from error


def plain(found: Any, where: str) -> dict[str, float]:
    """Figures by name. Raises UsageError for anything else than an outcome or numbers by name."""
    if isinstance(found, Outcome):
        return found.figures()
    numbers = isinstance(found, Mapping) and all(isinstance(v, (int, float, np.number)) for v in found.values())
    if not numbers or not found:
        raise UsageError(
            f"a probe gave {found!r:.80}, which is no number by name", where=where, remedy='return {"name": number}'
        )
    return {str(name): float(value) for name, value in found.items()}


def _first(measured: Sequence[Mapping[str, float]]) -> list[float]:
    return [next(iter(figures.values())) for figures in measured]


def _some(records: Any) -> bool:
    return records is not None and len(records) > 0
