"""Running a recipe's stages, one after the other: each finds what the earlier ones left in the state, and leaves its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearfar.core.errors import UsageError
from nearfar.core.stage import Decode, Fit, Measure, Refresh, Stage, Transform
from nearfar.training.fit import fit
from nearfar.training.held_out import counterparts, summary
from nearfar.training.options import made
from nearfar.training.prepare import prepare
from nearfar.training.probing import asked, plain, probe_of
from nearfar.training.refresh import refreshed
from nearfar.training.state import State


def run_stage(stage: Any, state: State) -> None:
    """Run one stage. Raises UsageError for what is no stage."""
    if isinstance(stage, Fit):
        state.fitted = fit(stage, state)
    elif isinstance(stage, Refresh):
        _refresh(stage, state)
    elif isinstance(stage, Transform):
        _transform(stage, state)
    elif isinstance(stage, Measure):
        _measure(stage, state)
    elif isinstance(stage, Decode):
        _write(
            stage.name,
            stage.by(state) if callable(stage.by) else made(stage.by, "generation", stage.name)(state),
            state,
        )
    elif isinstance(stage, Stage):
        stage.run(state)
    else:
        raise UsageError(
            f"a {type(stage).__name__} is no stage",
            where="stages",
            remedy="use Fit, Refresh, Transform, Decode, Measure, or an object with a name and a method run(state)",
        )


def _refresh(stage: Refresh, state: State) -> None:
    """Once, with the model as it is."""
    prepared = prepare(Fit(workers=0), state.recipe, state.records, state.towers, state.heads, ranks=state.ranks)
    columns = refreshed([stage], prepared.batches, state.recipe.seed, state.ranks)
    state.take_columns(columns)


def _transform(stage: Transform, state: State) -> None:
    """Fitted on the training records' vectors; the model applies it from now on."""
    side = stage.side or next(iter(state.model.sides))
    field = next(f.field for f in state.recipe.streams if (f.side or f.field) == side)
    records = state.records
    vectors = state.model.encode(records.many(field, range(len(records))), side=side)
    state.model.transform(*made(stage.by, "transforms", stage.name)(vectors))


def _measure(stage: Measure, state: State) -> None:
    if stage.by is None:
        if state.prepared is None or state.held_out is None:
            raise UsageError("nothing was held out", where=stage.name, remedy="set held_out, or say what to measure")
        _write(stage.name, summary(counterparts(state.prepared, state.held_out)), state)
        return
    _write(stage.name, plain(asked(probe_of(stage.by, state, stage.name), stage.name), stage.name), state)


def _write(name: str, figures: Mapping[str, Any], state: State) -> None:
    state.measured[name] = dict(figures)
    if state.run is not None:
        state.run.rewind(name, -1)  # what a process wrote that was killed after it
        state.run.log({"stage": name, "step": 0, "measured": dict(figures)})
