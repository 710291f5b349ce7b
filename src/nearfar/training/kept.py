"""`Kept`: what of a Fit stage outlives the process - written as checkpoints, put back from them, and given to the model at the end.

The loop says when; here it says what. Draws need nothing, being functions of seed and step: weights, what remembers, the optimiser,
averaged weights, columns that were computed, the place in the order where it moved, and records that were found unusable are all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from nearfar.core.directories import latest
from nearfar.core.stage import Fit
from nearfar.training.averages import WeightAverage
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Checkpoint, read_checkpoint, restore, save_checkpoint, state_of, whole
from nearfar.training.learner import Learner
from nearfar.training.shard import unsharded
from nearfar.training.state import State


class Kept:
    """What is kept of one stage at work. `columns` are those that its refreshes wrote, by name."""

    def __init__(
        self,
        stage: Fit,
        state: State,
        learner: Learner,
        optimiser: torch.optim.Optimizer,
        average: WeightAverage | None,
        batches: Batches,
    ) -> None:
        self.stage, self.state, self.learner, self.batches = stage, state, learner, batches
        self.optimiser, self.average = optimiser, average
        self.columns = dict(state.columns)

    def resume(self) -> tuple[int, list[dict[str, Any]]]:
        """Steps that the checkpoint to go on from has done, and the log, cut there."""
        made, run = self.state.resumed, self.state.run
        self.state.resumed = None
        if made is None:
            # What was logged by a run that died before its first checkpoint is run and logged again.
            history = [] if run is None else run.rewind(self.stage.name, 0)
            if self.state.fitted is None:  # what an earlier stage found stays
                self.batches.unusable.rewind(())
            return 0, history
        self.put_back(made)
        return made.step, [] if run is None else run.rewind(self.stage.name, made.step)

    def put_back(self, made: Checkpoint) -> None:
        """What a checkpoint holds of this stage, but for its step and the log."""
        restore(made, self.learner, self.optimiser)
        if self.average is not None:
            self.average.load_state_dict(made.under("average"))
        self.columns = dict(self.state.columns)
        if self.columns:
            self.batches.with_columns(**self.columns)
        if self.stage.batching.groups in self.columns:
            step, epoch = made.numbers["order"]
            self.batches.order = self.batches.order.with_groups(
                self.columns[self.stage.batching.groups], step, epoch=epoch
            )
        self.batches.unusable.rewind(made.numbers.get("unusable", ()))

    def checkpoint(self, step: int) -> Checkpoint:
        """All of it, as it is after so many steps."""
        tensors, numbers = state_of(self.learner, self.optimiser)
        if self.average is not None:
            tensors |= {f"average.{k}": whole(v) for k, v in self.average.state_dict().items()}
        tensors |= {f"column.{k}": torch.from_numpy(np.ascontiguousarray(v)) for k, v in self.columns.items()}
        tensors |= {f"transform.{k}": v for k, v in self.state.model.named_buffers(recurse=False)}
        if self.batches.unusable.entries:
            numbers["unusable"] = self.batches.unusable.entries
        numbers["order"] = list(self.batches.order.start)
        return Checkpoint(self.state.stage, self.stage.name, step, tensors, numbers)

    def save(self, step: int) -> None:
        """Write a checkpoint, where this process writes."""
        made = self.checkpoint(step)  # on every rank: sharded weights are put together by all
        if self.state.run is not None:
            save_checkpoint(self.state.run.checkpoints, made, self.state.about)

    def save_best(self, step: int, figures: Mapping[str, Any]) -> None:
        """The towers alone, as the best so far, with what was measured of them."""
        tensors, _ = state_of(self.learner.towers, None)
        if self.state.run is not None:
            best = Checkpoint(self.state.stage, self.stage.name, step, tensors, dict(figures))
            save_checkpoint(self.state.run.checkpoints, best, self.state.about, name="best")

    def odd_weights(self) -> str | None:
        """The name of weights, or of what is remembered, that are no numbers."""
        for name, tensor in self.learner.state_dict().items():
            if tensor.is_floating_point() and bool(tensor.isnan().any()):
                return name
        return next((n for n, p in self.learner.named_parameters() if not bool(torch.isfinite(p).all())), None)

    def publish(self, interrupted: bool) -> None:
        """The weights that the model gets: the last, their average, or the best as measured."""
        if self.average is not None and int(self.average.updates) and not interrupted:
            self.average.copy_to(self.learner.towers)
        if self.stage.keep == "best" and self.state.directory is not None and not interrupted:
            place = latest(self.state.directory / "checkpoints" / "best")
            made = read_checkpoint(place) if place.exists() else None
            if made is not None and made.stage == self.state.stage:  # an earlier stage has its own
                restore(made, self.learner.towers, None)
        self.state.take_columns(self.columns)
        if self.stage.shard:
            self.state.take_towers(unsharded(dict(self.learner.towers.items())))


def average_of(stage: Fit, towers: nn.Module) -> WeightAverage | None:
    """The average of weights that a stage asks for."""
    if stage.average == "none":
        return None
    return WeightAverage(towers, decay=1.0 if stage.average == "uniform" else stage.ema_decay)
