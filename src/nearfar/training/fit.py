"""The training loop: batches by (seed, step), exact gradients, one optimiser step, state moved once, a checkpoint now and then.

It reads from top to bottom. Everything that makes a method lies in the recipe's objective, streams and encoder; everything that
makes a batch fit lies in `nearfar.execution`: `backward` embeds, contrasts and differentiates, in one piece or in micro-batches,
on one process or many, with the same gradient.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from nearfar.core.errors import ResourceError, UsageError
from nearfar.core.ramp import at
from nearfar.core.rows import Rows
from nearfar.core.stage import Fit
from nearfar.execution.micro_batched import Step, backward
from nearfar.execution.plan import Plan
from nearfar.execution.ranks import sum_gradients
from nearfar.execution.update import update_state
from nearfar.training.checkpoint import Checkpoint
from nearfar.training.clip import Norms, clip_gradients
from nearfar.training.held_out import leave_out_unusable
from nearfar.training.interrupt import interrupts_deferred
from nearfar.training.kept import Kept, average_of
from nearfar.training.learner import Learner
from nearfar.training.objective import known_terms
from nearfar.training.optimisers import groups_of, optimiser
from nearfar.training.prepare import Prepared, planned, prepare
from nearfar.training.probing import Probing
from nearfar.training.processes import is_lost
from nearfar.training.refresh import refreshed
from nearfar.training.schedule import factor
from nearfar.training.shard import sharded
from nearfar.training.state import State
from nearfar.training.table_gradients import cleared_gradients, tables_of
from nearfar.training.watch import Watch, dropped_negatives

COUNT_EVERY = 100  # steps between two counts of dropped negatives: often enough to see a trend, and next to free


@dataclass
class Fitted:
    """How a fit ended: steps done of all, the loss of each, seconds, whether and why it ended early, the plan of its memory.

    waited  the share of the time in which the encoder waited for records
    """

    steps: int
    total: int
    losses: list[float]
    seconds: float
    interrupted: bool = False
    plan: Plan | None = None
    stopped: str = ""
    waited: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)


class Loop:
    """One Fit stage at work. `run` is the loop; the other methods are its steps."""

    def __init__(self, stage: Fit, state: State) -> None:
        self.stage, self.state, self.seed = stage, state, state.recipe.seed
        if state.resumed is not None:
            state.put_back(state.resumed)
        self.prepared: Prepared = prepare(
            stage, state.recipe, state.records, state.towers, state.heads, ranks=state.ranks, bad=state.bad
        )
        state.prepared = self.prepared
        self.learner: Learner = self.prepared.learner
        self.batches, self.total = self.prepared.batches, self.prepared.steps
        self.per_epoch = (
            self.batches.order.steps_per_epoch
        )  # as it begins: clusters that change do not move what is counted by epochs
        self.chosen = self._plan()
        self.micro_batch = self.chosen.micro_batch if self.chosen is not None else cast("int | None", stage.micro_batch)
        if stage.shard:
            sharded(dict(self.learner.towers.items()), state.ranks)
        if stage.compile:
            for tower in self.learner.towers.values():
                tower.compile()
        groups = groups_of(self.learner.learned())
        self.optimiser, self.tables = optimiser(stage, groups), tables_of(groups)
        self.base = [group["lr"] for group in self.optimiser.param_groups]
        self.parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.average = average_of(stage, self.learner.towers)
        self.kept = Kept(stage, state, self.learner, self.optimiser, self.average, self.batches)
        self.step, self.history = self.kept.resume()
        self.losses = [e["loss"] for e in self.history if "loss" in e]
        leave_out_unusable(state, self.batches)
        self.probing = Probing(stage, state)
        self.watch = Watch(state, stage, self.learner, self.history, self.prepared.batch, self.step)
        self.saved = self.started = time.perf_counter()
        # A run that had stopped, and was killed before all was written, does not begin to train again.
        self.interrupted, self.stopped, self.waited = False, self.probing.verdict(self.watch.measured), 0.0
        self.updating = False

    def run(self) -> Fitted:
        """Until the last step, an interrupt, or the end of what the held-out records allow."""
        self.learner.train()
        # The draws of a step belong to (seed, step); the user's own generator is left as it was.
        together = self.state.ranks is not None
        with (
            torch.random.fork_rng(devices=[]),
            deterministic(self.stage),
            interrupts_deferred(together) as asked_to_stop,
        ):
            try:
                for first, last in self.segments():
                    self.refresh(first)
                    waiting = time.perf_counter()
                    for step, streams in self.batches.steps(first, last):
                        self.waited += time.perf_counter() - waiting
                        self.take(step, streams)
                        self.measure()
                        self.updating = False
                        if self._agree(asked_to_stop(), self.stopped != "", self._checkpoint_due()):
                            break
                        waiting = time.perf_counter()
                    if self.interrupted or self.stopped:
                        break
            except KeyboardInterrupt:  # a second Ctrl-C
                if self.updating:
                    raise  # half an update, or one that was not logged, must not become a checkpoint; the last one stands
                self.interrupted = True
            finally:
                self.watch.close()
            self.learner.eval()
            self._save()
        if not self.interrupted:
            self.watch.conclude()
        self.publish()
        if self.state.run is not None:
            self.batches.unusable.warn()
        seconds = time.perf_counter() - self.started
        return Fitted(
            self.step,
            self.total,
            self.losses,
            seconds,
            self.interrupted,
            self.chosen,
            self.stopped,
            self.waited / max(seconds, 1e-9),
        )

    def take(self, step: int, streams: Mapping[str, Any], move: Callable[[], Any] | None = None) -> None:
        """One step: the gradient, the optimiser's move (or `move`, of a loop of somebody else's), what remembers, the log.

        The same weights, streams and step give the same result to the bit: chance belongs to (seed, step).
        """
        torch.manual_seed((self.seed * 2**32 + step) % 2**63)
        made = self._gradient(step, streams)
        signs = self.watch.signs(step, self.total, made)
        norms = self._clipped(step)
        self.updating = True
        (move or self.optimiser.step)()
        seen = signs()
        self._move_state(step, made)
        self.step = step + 1
        self._log(made, norms, seen)

    def _plan(self) -> Plan | None:
        if self.stage.micro_batch != "auto":
            return None
        self.learner.train()
        chosen = planned(self.prepared)
        if not chosen.fits:
            warnings.warn(chosen.why[-1], RuntimeWarning, stacklevel=4)
        return chosen

    def segments(self) -> Iterator[tuple[int, int]]:
        """Stretches of steps between two refreshes of a column."""
        per_epoch = self.per_epoch
        periods = [max(1, round(refresh.every * per_epoch)) for refresh in self.stage.refresh]
        first = self.step
        while first < self.total and not self.stopped:
            last = min([self.total, *(period * (first // period + 1) for period in periods)])
            yield first, last
            first = last

    def refresh(self, step: int) -> None:
        """Columns whose time has come, of what the towers are now."""
        per_epoch = self.per_epoch
        due = [r for r in self.stage.refresh if step % max(1, round(r.every * per_epoch)) == 0]
        if due:
            columns = self.kept.columns
            columns |= refreshed(due, self.batches, self.seed, self.state.ranks)
            self.batches.with_columns(**columns)
            if self.stage.batching.groups in {refresh.write for refresh in due}:
                self.batches.order = self.batches.order.with_groups(columns[self.stage.batching.groups], step)
            self.learner.train()

    def _gradient(self, step: int, streams: Mapping[str, Any]) -> Step:
        """The exact gradient of the global batch, on every rank; and a loss that is a number."""
        rate = factor(self.stage, step, self.total)
        for group, base in zip(self.optimiser.param_groups, self.base, strict=True):
            group["lr"] = base * rate
        with cleared_gradients(self.optimiser, self.tables):
            made = backward(
                self.learner.at_this_step(),
                streams,
                micro_batch=self.micro_batch,
                ranks=self.state.ranks,
                seed=self.seed,
                step=step,
            )
        sum_gradients(self.parameters, self.state.ranks)
        self.value = float(made.loss)
        if not math.isfinite(self.value):
            raise self._diverged(f"the loss is {self.value} at step {step + 1}")
        return made

    def _clipped(self, step: int) -> Norms:
        """Norms of the gradient by part, before the whole is clipped where asked to; and a gradient that is a number."""
        parts = {name: module.parameters() for name, module in self.learner.learned().items()}
        norms = clip_gradients(parts, self.stage.clip)
        if not norms.finite:
            raise self._diverged(f"the gradient is {norms.total} at step {step + 1}")
        return norms

    def _diverged(self, what: str) -> UsageError:
        """The error of numbers that are none; before it, what is still whole is saved."""
        if self.kept.odd_weights() is None:
            self._save()
        return UsageError(
            f"{what}; the last checkpoint is as it was",
            where=f"{self.stage.name}.learning_rate",
            remedy="lower the learning rate or raise the temperature; look for NaN or huge values in the data",
        )

    def _move_state(self, step: int, made: Step) -> None:
        """What remembers moves here, once a step: teachers, queues and tables, the average of weights."""
        progress = step / max(1, self.total - 1)
        self.learner.move_teachers(at(self.stage.teacher, progress))
        update_state(self.learner.objective, made.rows, ranks=self.state.ranks)
        if self.average is not None and (self.stage.average == "ema" or progress >= self.stage.average_from):
            self.average.update(self.learner.towers)

    def _log(self, made: Step, norms: Norms, signs: Mapping[str, float]) -> None:
        self.losses.append(self.value)
        rows = made.rows
        entry: dict[str, Any] = {
            "stage": self.stage.name,
            "step": self.step,
            "loss": self.value,
            "keys": self._candidates(rows),
            "rate": self.base[0] * factor(self.stage, self.step - 1, self.total),
            "gradient": norms.total,
            "seconds": time.perf_counter() - self.started,
            **signs,
        }
        values = made.values()
        if len(values) > 1:
            entry |= {f"loss/{name}": value for name, value in values.items()}
        if self.batches.unusable.entries:
            entry["left_out"] = len(self.batches.unusable.entries)
        # By the number of the step, not by this process's first: a resumed run logs what an unbroken one does.
        if (self.step - 1) % COUNT_EVERY == 0:
            entry |= dropped_negatives(known_terms(self.learner.at_this_step()), rows)
        if self.step == 1 and self.chosen is not None:
            entry["plan"] = facts(self.chosen)
        self.watch.step(entry, self.total)

    def _candidates(self, rows: Mapping[str, Rows]) -> int:
        """Keys that a query meets, of all ranks."""
        largest = max(len(table) for table in rows.values())
        return largest if self.state.ranks is None else largest * self.state.ranks.size

    def measure(self) -> None:
        """Now and then, what a probe says of the model; it may end the training."""
        if not self.probing.is_due(self.step, self.total, self.per_epoch):
            return
        self.learner.eval()
        with self._averaged():
            figures = self.probing.figures(self.prepared)
            if self.stage.keep == "best" and self.probing.is_best([*self.watch.measured, figures]):
                self.kept.save_best(self.step, figures)
        self.learner.train()
        self.watch.measure({"stage": self.stage.name, "step": self.step, "held_out": figures})
        self.stopped = self.probing.verdict(self.watch.measured)

    def _averaged(self) -> AbstractContextManager[Any]:
        """The averaged weights in place of those that learn, where there are any."""
        if self.average is None or not int(self.average.updates):
            return nullcontext()
        return self.average.swapped_into(self.learner.towers)

    def _agree(self, interrupted: bool, stopped: bool, due: bool) -> bool:
        """Whether to end here; every rank hears of it at the same step. A checkpoint that one thinks due, all make."""
        ranks = self.state.ranks
        flags = 4 * interrupted + 2 * stopped + due
        if ranks is not None:
            highest = [ranks.highest(int(bool(flags & bit))) for bit in (4, 2, 1)]
            interrupted, stopped, due = (bool(flag) for flag in highest)
        if due:
            self._save()
            self.saved = time.perf_counter()
        self.interrupted = interrupted and self.step < self.total
        self.stopped = self.stopped or ("stopped by another rank" if stopped else "")
        return interrupted or stopped

    def _checkpoint_due(self) -> bool:
        if self.stage.checkpoint_steps is not None:
            return self.step % self.stage.checkpoint_steps == 0
        return time.perf_counter() - self.saved > self.stage.checkpoint

    def _save(self) -> None:
        """Weights that are no numbers any more never replace the last checkpoint, nor become a model: they end the training."""
        odd = self.kept.odd_weights()
        if odd is not None:
            raise self._diverged(f"the weights {odd} are no numbers before step {self.step + 1}")
        self.kept.save(self.step)

    def put_back(self, made: Checkpoint) -> None:
        """Go on from a checkpoint that somebody else has kept; what was logged is not touched."""
        self.step = made.step
        self.kept.put_back(made)

    def publish(self) -> None:
        """Give the model its weights."""
        self.kept.publish(self.interrupted)


def fit(stage: Fit, state: State) -> Fitted:
    """Run a Fit stage: towers and heads of the state are trained in place. Ctrl-C ends it early, with a checkpoint.

    Warns when the step will hardly fit into memory. Raises UsageError when the loss stops being finite, ResourceError when a rank
    is lost or a checkpoint cannot be written; the last checkpoint is whole.
    """
    try:
        return Loop(stage, state).run()
    except RuntimeError as error:
        if state.ranks is None or not is_lost(error):
            raise
        raise ResourceError(
            f"another rank was lost: {str(error).splitlines()[0][:200]}",
            where=f"rank {state.ranks.rank} of {state.ranks.size}",
            remedy="look for the first error among the ranks, then go on with --resume",
        ) from error


@contextmanager
def deterministic(stage: Fit) -> Iterator[None]:
    """Refuse operations whose result differs from run to run, if the stage asks for it."""
    before = torch.are_deterministic_algorithms_enabled()
    if stage.deterministic:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def facts(made: Plan) -> dict[str, Any]:
    """What of a plan belongs into the record of a run: the first line that each process logs."""
    names = ("micro_batch", "tile", "memory", "memory_source", "peak", "cores", "fits")
    return {name: getattr(made, name) for name in names}
