"""`State`: what a stage finds and what it leaves to the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.model import Model
from nearfar.core.recipe import Recipe
from nearfar.data.bad_records import BadRecords
from nearfar.data.records import Records
from nearfar.execution.ranks import Ranks
from nearfar.training.checkpoint import Checkpoint
from nearfar.training.progress import Standing
from nearfar.training.run import Run

Progress = Callable[[Standing], None]


@dataclass
class State:
    """The run of a recipe, between two stages.

    records   the training records; a Refresh gives them further columns
    held_out  those kept for evaluation, or None
    towers, heads  by name, as learned so far
    model     what will be published
    run       writes into the run's directory; None on ranks but the first, which write nothing
    directory of the run, for all ranks
    columns   those that stages wrote, by name
    about     digests of recipe and data, which a checkpoint must share
    resumed   the checkpoint to go on from, taken by the stage that wrote it
    stage     the number of the present stage
    fitted    how the last Fit went, and `prepared` what it ran on
    ranks     the processes that train together
    callbacks called after each step with what was logged and the learner
    """

    recipe: Recipe
    records: Records
    held_out: Records | None
    towers: dict[str, Any]
    heads: dict[str, Any]
    model: Model
    run: Run | None
    about: Mapping[str, Any]
    resumed: Checkpoint | None = None
    stage: int = 0
    fitted: Any = None
    prepared: Any = None
    directory: Path | None = None
    ranks: Ranks | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    bad: BadRecords = field(default_factory=BadRecords)
    progress: Progress | None = None
    callbacks: Sequence[Callable[[Mapping[str, Any], Any], None]] = ()
    loggers: Sequence[Any] = ()
    findings: list[Any] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    def take_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Columns that a stage wrote: the later ones see them, and so does a run that is resumed in one of those."""
        self.columns = {**self.columns, **columns}
        self.records = self.records.with_columns(**self.columns)

    def put_back(self, made: Checkpoint) -> None:
        """What the stages before the checkpoint's left beside towers and heads: columns, a transformation."""
        self.take_columns({name: tensor.numpy() for name, tensor in made.under("column").items()})
        for name, tensor in made.under("transform").items():
            setattr(self.model, name, tensor)

    def take_towers(self, towers: Mapping[str, Any]) -> None:
        """Other modules in the place of the towers, in the model too."""
        place = {id(old): towers[name] for name, old in self.towers.items()}
        sides = {side: place[id(self.model.tower(side))] for side in self.model.sides}
        self.model = Model(sides, self.model.similarity, self.model.about)
        self.towers = dict(towers)
