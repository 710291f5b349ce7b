"""`Stage`: one step of a recipe. `Fit` optimises an objective; the others refresh columns, transform, decode or measure.

A stage is data. `nearfar.training` knows how to run those of the library; a stage of a user's own brings its `run(state)`.
Each stage sees what the earlier ones left: the model, the columns, and what it writes itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from nearfar.core.batching import Batching
from nearfar.core.ramp import Ramp
from nearfar.core.use import Use


@runtime_checkable
class Stage(Protocol):
    """Anything with a name and a way to run."""

    @property
    def name(self) -> str:
        """How `--set` and the log call it."""
        ...

    def run(self, state: Any) -> None:
        """Do it; `state` is a `nearfar.training.state.State`: recipe, records, learner, model, run."""
        ...


@dataclass(frozen=True)
class Refresh:
    """Embed all training records and write a column: clusters, neighbours, mined negatives.

    by     the part of `columns/` that computes it, or a function (vectors, columns, seed) -> array [n] or [n k]
    write  the column's name
    every  as an item of `Fit.refresh`: passes over the data between two times; as a stage of its own it runs once
    """

    name: str
    by: str | Use | Callable[..., Any]
    write: str
    every: float = 1.0


@dataclass(frozen=True)
class Transform:
    """Fit a transformation on the training records' vectors and let the model apply it from then on: whitening, a rotation.

    by     a part of `transforms/` or a function: vectors [n d] -> (shift [d], matrix [d m]); the model gives out (v - shift) @ matrix
    side   whose vectors it is fitted on; the model's first unless given
    """

    name: str
    by: str | Use | Callable[..., Any]
    side: str = ""


@dataclass(frozen=True)
class Measure:
    """Measure the model as it is; written into the run's record.

    by  a function (model, records) -> {name: number} or an `Outcome`, of the held-out records, or the training records where none
        are; a part of `measures/` by its name; None: on held-out records, whether each finds its own counterpart
    """

    name: str
    by: str | Use | Callable[..., Any] | None = None


@dataclass(frozen=True)
class Decode:
    """Generate with what was learned: `by(state) -> {name: number or text}`, a function of the recipe's own file or a part."""

    name: str
    by: str | Use | Callable[..., Any]


@dataclass(frozen=True)
class Fit:
    """Optimise the objective for `epochs` passes in batches of `batch_size` records.

    batch_size     records a step, of all ranks together; the batch is shrunk to the data when there are fewer
    epochs         passes over the data; a fraction is allowed
    min_steps      steps at least, however few the data
    optimiser      "adamw", "lars", "sgd" (with `momentum`), or for large tables of vectors "rowwise_adagrad" or "lazy_adam"
    learning_rate  at the start of the schedule
    schedule       "cosine" to 2 % of the learning rate, "linear" likewise, "step", "inverse_sqrt", or "constant"
    warmup         share of all steps over which the rate rises from zero, or, as a whole number, so many steps
    weight_decay   decoupled; never on temperature, bias, norms
    clip           the most that the norm of the whole gradient may be; None: anything
    teacher        of streams through "momentum": the share of itself that the teacher keeps each step, a number or a ramp
    average        of the weights, for the published model: "none", "ema" (a moving one, with `ema_decay`), or "uniform" over the
                   steps from the share `average_from` on
    precision      "bfloat16" computes the encoders in it; weights, loss and optimiser stay in float32
    compile        let torch compile the encoders
    checkpoint     seconds between checkpoints, or, with `checkpoint_steps`, so many steps
    measure        passes between two measurements on held-out records; 0: none but at the end
    probe          what is measured then: None, whether each record finds its counterpart (mrr, recall@10); or as in `Measure`
    figure         the figure of the probe that counts for `patience` and `keep`; "" is its first
    better         whether a "higher" or a "lower" figure is better
    patience       measurements without an improvement after which the training stops; None: never
    keep           which weights the model gets: the "last", or the "best" as measured
    micro_batch    the most that one micro-batch may cost (records, or tokens where the encoder states its costs); None embeds the
                   batch in one piece; "auto" does so where that fits into memory, and else takes what fits. The gradient is the same
    batching       which records may share a batch
    refresh        columns that are computed anew every so often
    workers        threads that read, look and prepare ahead of the training
    deterministic  refuse operations whose result may differ from run to run; on CPUs all are exact anyway
    shard          spread weights and optimiser over ranks (FSDP2); the batch and its loss stay the same
    streams, objective   other ones than the recipe's, for this stage
    """

    name: str = "fit"
    batch_size: int = 1024
    epochs: float = 3.0
    min_steps: int = 0
    optimiser: Literal["adamw", "lars", "sgd", "rowwise_adagrad", "lazy_adam"] = "adamw"
    learning_rate: float = 0.005
    schedule: Literal["cosine", "linear", "step", "inverse_sqrt", "constant"] = "cosine"
    warmup: int | float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.9
    clip: float | None = None
    teacher: float | Ramp = 0.999
    average: Literal["none", "ema", "uniform"] = "none"
    average_from: float = 0.5
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    checkpoint: float = 30.0
    checkpoint_steps: int | None = None
    measure: float = 0.0
    probe: str | Use | Callable[..., Any] | None = None
    figure: str = ""
    better: Literal["higher", "lower"] = "higher"
    patience: int | None = None
    keep: Literal["last", "best"] = "last"
    micro_batch: int | Literal["auto"] | None = "auto"
    batching: Batching = field(default_factory=Batching)
    refresh: tuple[Refresh, ...] = ()
    workers: int = 1
    deterministic: bool = False
    shard: bool = False
    streams: tuple[Any, ...] = ()
    objective: Any = None
