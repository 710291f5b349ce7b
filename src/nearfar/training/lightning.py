"""For users of Lightning: our step in a `LightningModule`, so that its trainer, loggers, callbacks and checkpoints stay theirs.

from lightning.pytorch import Trainer
from nearfar.training.lightning import lightning_module

module = lightning_module("pairs", data="pairs.jsonl", settings=["fit.epochs=4"])
Trainer(max_steps=module.total, devices=1).fit(module)
module.published().save("my-model")

The weights are those of `nf.train`, to the bit on a CPU. That takes manual optimisation: a contrastive loss is of the whole batch, so
a loss for each micro-batch, which is what Lightning's automatic optimisation would accumulate, is another loss with fewer negatives.
Which records form step t, and every draw in it, are functions of (seed, t), so the module brings its own data; a Lightning
epoch is a pass of ours. Several processes are refused: Lightning's DDP averages gradients where ours must be summed, and its
reducer counts a tower's first pass; `torchrun -m nearfar train` does that. Precision and clipping belong to the recipe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.model import Model
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Fit
from nearfar.training.checkpoint import Checkpoint
from nearfar.training.fit import Loop, deterministic
from nearfar.training.loggers import flat
from nearfar.training.open_data import open_data
from nearfar.training.prepare import model_of, towers_of
from nearfar.training.state import State
from nearfar.training.train import recipe_of

PACKAGES = (
    "lightning.pytorch",
    "pytorch_lightning",
)  # one library under two names, whose modules do not fit each other's trainer
OURS = "nearfar"  # our part of a Lightning checkpoint


def lightning_module(
    recipe: str | Path | Recipe = "pairs",
    data: Any = None,
    *,
    columns: str | Sequence[str] | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    held_out: Any = None,
) -> Any:
    """A `LightningModule` that trains the one Fit stage of a recipe; the arguments are those of `nf.train`.

    It has
        total         the steps that there are: give `Trainer(max_steps=module.total)`
        loop          the stage at work, `nearfar.training.fit.Loop`
        published()   the model, with averaged weights where the recipe asks for them; call it after the training

    What nearfar logs of a step is logged by `self.log`. Where and how often checkpoints are written, Lightning says; one of the
    middle of an epoch is gone on with exactly.

    Raises ResourceError without Lightning, UsageError for a recipe of other stages than one Fit, and for settings that are
    Lightning's own affair here (`fit.keep`, `fit.shard`); when the training begins, for several processes or another precision.
    """
    make = _class(_package())
    chosen = recipe_of(recipe, settings, seed)
    stage = _stage(chosen)
    opened = open_data(chosen, data, columns, held_out=held_out)
    towers, heads = towers_of(chosen, opened.records)
    model = model_of(chosen, towers)
    state = State(chosen, opened.records, opened.held_out, towers, heads, model, run=None, about={})
    return make(Loop(stage, state))


def _stage(recipe: Recipe) -> Fit:
    stage = recipe.stages[0]
    if len(recipe.stages) != 1 or not isinstance(stage, Fit):
        raise UsageError(
            f"Lightning trains one Fit stage, and the recipe has {', '.join(s.name for s in recipe.stages)}",
            where="stages",
            remedy="train it by nf.train, which runs all stages",
        )
    if stage.keep == "best":
        raise UsageError(
            "which weights are kept, Lightning says here",
            where=f"{stage.name}.keep",
            remedy='leave it at "last" and give the trainer ModelCheckpoint(monitor="held_out/mrr", mode="max")',
        )
    if stage.shard:
        raise UsageError(
            "weights are not sharded under Lightning", where=f"{stage.name}.shard", remedy="start nearfar by torchrun"
        )
    return stage


def _package() -> str:
    """The name under which Lightning is installed; the one that is imported already, where both are."""
    there = [name for name in PACKAGES if name in sys.modules] or [
        name for name in PACKAGES if find_spec(name.partition(".")[0]) is not None
    ]
    if not there or sys.modules.get(there[0], ...) is None:
        raise ResourceError(
            "Lightning is not installed", where="nearfar.training.lightning", remedy='pip install "nearfar[lightning]"'
        )
    return there[0]


class Steps:
    """The steps of one pass after the other, as a data loader: each `iter` goes on where the training stands."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def __len__(self) -> int:
        return min(self.loop.per_epoch, self.loop.total)

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        loop = self.loop
        end = min(loop.total, (loop.step // loop.per_epoch + 1) * loop.per_epoch)
        for first, last in loop.segments():
            if first >= end:
                return
            loop.refresh(first)
            yield from loop.batches.steps(first, min(last, end))

    def state_dict(self) -> dict[str, int]:
        """By this method Lightning knows data that can be gone on with; where they stand, the loop knows."""
        return {"step": self.loop.step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Nothing is left to do."""


def _refuse(trainer: Any) -> None:
    """What would give another gradient than ours."""
    if trainer.world_size > 1:
        raise UsageError(
            f"{trainer.world_size} processes under Lightning",
            where="Trainer(devices=...)",
            remedy="give devices=1, or start `torchrun -m nearfar train` for exact gradients on many",
        )
    if str(trainer.precision) not in ("32-true", "32"):
        raise UsageError(
            f"precision {trainer.precision} would hold for the loss as well as for the encoders",
            where="Trainer(precision=...)",
            remedy='leave it, and set fit.precision to "bfloat16"',
        )


def _kept(loop: Loop) -> dict[str, Any]:
    """What a checkpoint must hold beyond weights and optimiser, which Lightning saves itself."""
    made = loop.kept.checkpoint(loop.step)
    return {
        "step": made.step,
        "tensors": {k: v for k, v in made.tensors.items() if not k.startswith(("weights.", "optimiser."))},
        "numbers": {k: v for k, v in made.numbers.items() if not k.startswith("optimiser.")},
        "measured": loop.watch.measured,
    }


def _put_back(loop: Loop, checkpoint: Mapping[str, Any]) -> None:
    if OURS not in checkpoint:
        raise DataError(
            "the checkpoint was not made by this module", where="ckpt_path", remedy="give one of a `lightning_module`"
        )
    ours, own = checkpoint[OURS], "learner."
    weights = {k.removeprefix(own): v for k, v in checkpoint["state_dict"].items() if k.startswith(own)}
    tensors = {**ours["tensors"], **{f"weights.{k}": v for k, v in weights.items()}}
    loop.put_back(Checkpoint(0, loop.stage.name, ours["step"], tensors, ours["numbers"]))
    loop.watch.measured = list(ours["measured"])


def _measured(loop: Loop) -> dict[str, Any]:
    """What held-out records say, where it is time to ask them."""
    before = len(loop.watch.measured)
    loop.measure()
    return {name: value for one in loop.watch.measured[before:] for name, value in flat({"held_out": one}).items()}


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """What of an entry Lightning can log besides the loss."""
    named = ("step", "loss")
    return {k: float(v) for k, v in flat(entry).items() if isinstance(v, (int, float)) and k not in named}


@cache
def _class(package: str) -> Any:
    """The class, made when Lightning is first asked for: importing it takes seconds."""
    base: Any = import_module(package).LightningModule

    class NearfarModule(base):
        def __init__(self, loop: Loop) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.loop, self.total = loop, loop.total
            self.learner, self.average = loop.learner, loop.average  # found by Lightning: moved to its device, saved
            loop.state.callbacks = (self._tell,)
            for module in self.modules():
                module.training = True  # else Lightning warns of teachers, which are put into evaluation when it begins

        def configure_optimizers(self) -> Any:
            return self.loop.optimiser

        def train_dataloader(self) -> Steps:
            return Steps(self.loop)

        def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
            return batch  # micro-batch by micro-batch, by whom it reaches

        def on_fit_start(self) -> None:
            _refuse(self.trainer)

        def on_train_start(self) -> None:
            self.learner.train()  # Lightning takes every module in the mode that it finds it in

        def training_step(self, batch: tuple[int, Mapping[str, Any]], batch_idx: int) -> None:
            step, streams = batch
            with torch.random.fork_rng(devices=[]), deterministic(self.loop.stage):
                self.loop.take(step, streams, self.optimizers().step)
                self.log_dict(_measured(self.loop))
            self.trainer.should_stop |= bool(self.loop.stopped) or self.loop.step >= self.total

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint[OURS] = _kept(self.loop)

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            _put_back(self.loop, checkpoint)

        def published(self) -> Model:
            self.loop.publish()
            return self.loop.state.model.eval()

        def _tell(self, entry: Mapping[str, Any], learner: Any) -> None:
            self.log("loss", entry["loss"], prog_bar=True)
            self.log_dict(_numbers(entry))

    return NearfarModule
