"""Checkpoints: tensors in safetensors and the rest in JSON; the last two are kept, and one that is damaged is told from one that is whole.

Nothing else is needed to go on exactly: which records form step t, and every draw in it, are functions of (seed, t). A checkpoint is
made under a temporary name, flushed and renamed; its description holds the digest of its tensors.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nearfar.core.directories import latest, replaced
from nearfar.core.errors import DataError, NearfarError, ResourceError
from nearfar.core.files import read_json, sha256

FORMAT, VERSION = "nearfar-checkpoint", 2
DESCRIPTION, STATE = "checkpoint.json", "state.safetensors"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What was done when it was written: `stage` is the number and `name` the name of the stage, `step` of its steps are done."""

    stage: int
    name: str
    step: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix.`, without it."""
        return {k[len(prefix) + 1 :]: v for k, v in self.tensors.items() if k.startswith(prefix + ".")}


def save_checkpoint(folder: Path, made: Checkpoint, about: Mapping[str, Any], *, name: str | None = None) -> Path:
    """Write a checkpoint into `folder`, under its stage and step or a `name` of its own, and drop those before the last two.

    Raises ResourceError where it cannot be written; what was there is as it was.
    """
    target = folder / (name or f"{made.stage}-{made.step:08d}")
    _set_aside_if_damaged(target)
    with replaced(target, written_as=FORMAT, description=DESCRIPTION, files=(DESCRIPTION, STATE)) as temporary:
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in made.tensors.items()}
        try:
            save_file(tensors, temporary / STATE)
        except SafetensorError as error:
            raise ResourceError(
                f"the checkpoint cannot be written: {error}; the one before it is as it was",
                where=str(target),
                remedy="make room on the disk, then go on with --resume",
            ) from error
        description = {
            "format": FORMAT,
            "version": VERSION,
            "stage": made.stage,
            "name": made.name,
            "step": made.step,
            "about": dict(about),
            "numbers": dict(made.numbers),
            "digest": sha256(temporary / STATE),
        }
        (temporary / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    if name is None:
        for old in _written(folder)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _set_aside_if_damaged(target: Path) -> None:
    """A run that goes on from an earlier checkpoint comes by the damaged one again; its remains are kept under another name."""
    if target.is_dir():
        try:
            read_json(target / DESCRIPTION, format=FORMAT, version=VERSION)
        except NearfarError:
            shutil.rmtree(target.with_name(target.name + ".damaged"), ignore_errors=True)
            target.rename(target.with_name(target.name + ".damaged"))


def load_checkpoint(folder: Path, about: Mapping[str, Any]) -> Checkpoint | None:
    """The last whole checkpoint, or None where there is none; a damaged one is left aside with a warning.

    Raises DataError where all are damaged, or one was made from other data or another recipe than `about` says.
    """
    damaged: NearfarError | None = None
    for path in reversed(_written(folder)):
        try:
            return _read(path, about)
        except _Damaged as error:
            warnings.warn(f"{error}; the checkpoint before it is used", RuntimeWarning, stacklevel=2)
            damaged = damaged or error
    if damaged is not None:
        raise DataError(damaged.what, where=damaged.where, remedy="no checkpoint of this run is whole: start a new run")
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint. Raises DataError if it is damaged."""
    return _read(path, {})


class _Damaged(DataError):
    """A checkpoint that is not what was written."""


def _written(folder: Path) -> list[Path]:
    """Checkpoints in the order in which they were made."""
    if not folder.is_dir():
        return []
    names = {p.name.removeprefix(".").removesuffix(".previous") for p in folder.iterdir() if p.is_dir()}
    known = [n for n in names if (parts := n.split("-"))[0].isdigit() and len(parts) == 2 and parts[1].isdigit()]
    return [latest(folder / n) for n in sorted(known, key=lambda n: tuple(map(int, n.split("-"))))]


def _read(path: Path, about: Mapping[str, Any]) -> Checkpoint:
    try:
        description = read_json(path / DESCRIPTION, format=FORMAT, version=VERSION)
    except DataError as error:
        raise _Damaged(f"the checkpoint is damaged: {error.what}", where=error.where, remedy="remove it") from error
    for name, value in about.items():
        if description["about"].get(name) != value:
            raise DataError(
                f"the checkpoint was made with another {name}",
                where=str(path),
                remedy=f"resume with the same {name}, or start a new run",
            )
    try:
        if sha256(path / STATE) != description["digest"]:
            raise ValueError("its tensors are not those that were written")
        tensors = load_file(path / STATE)
        stage, name, step = int(description["stage"]), str(description["name"]), int(description["step"])
        return Checkpoint(stage, name, step, tensors, description["numbers"])
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"the checkpoint is damaged: {error}", where=str(path), remedy="remove it") from error


def whole(tensor: Tensor) -> Tensor:
    """A tensor as one: of a sharded one, all its pieces (every rank must ask at the same time)."""
    gather = getattr(tensor, "full_tensor", None)
    return gather() if gather is not None else tensor


def state_of(module: nn.Module, optimiser: torch.optim.Optimizer | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and numbers of a module and its optimiser."""
    tensors = {f"weights.{k}": whole(v) for k, v in module.state_dict().items()}
    numbers: dict[str, Any] = {}
    for index, state in optimiser.state_dict()["state"].items() if optimiser is not None else ():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{name}"] = whole(value)
            else:
                numbers[f"optimiser.{index}.{name}"] = value
    return tensors, numbers


def restore(made: Checkpoint, module: nn.Module, optimiser: torch.optim.Optimizer | None) -> None:
    """Put back what `state_of` took. Raises DataError where it does not fit."""
    try:
        own = module.state_dict()
        module.load_state_dict({k: _like(own.get(k), v) for k, v in made.under("weights").items()})
        if optimiser is None:
            return
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for key, value in made.under("optimiser").items():
            index, name = key.split(".", 1)
            like = parameters[int(index)] if value.ndim and value.shape == parameters[int(index)].shape else None
            state.setdefault(int(index), {})[name] = _like(like, value)
        for key, value in made.numbers.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"the checkpoint does not fit what is trained: {error}", remedy="resume with the same recipe and data"
        ) from error


def _like(reference: Tensor | None, value: Tensor) -> Tensor:
    """A whole tensor, cut like a sharded one."""
    mesh: Any = getattr(reference, "device_mesh", None)
    if mesh is None:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, mesh, reference.placements)  # type: ignore[union-attr]
