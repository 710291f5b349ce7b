"""Checkpoints: weights, optimiser state and the step, in safetensors and JSON; the last one is always complete.

Nothing else is needed to go on exactly: which records form step t, and every draw in it, are functions of (seed, t).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from nearfar.core.directories import latest, replaced
from nearfar.core.errors import DataError
from nearfar.core.files import read_json

FORMAT, VERSION = "nearfar-checkpoint", 1
DESCRIPTION, STATE = "checkpoint.json", "state.safetensors"


def save_checkpoint(
    directory: Path, module: nn.Module, optimiser: torch.optim.Optimizer, step: int, about: dict[str, Any]
) -> None:
    """Replace the checkpoint in `directory` by the state after `step` steps."""
    tensors = {f"weights.{k}": v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
    numbers: dict[str, Any] = {}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{index}.{name}"] = value.detach().cpu().contiguous().clone()
            else:
                numbers[f"{index}.{name}"] = value
    with replaced(directory, written_as=FORMAT, description=DESCRIPTION, files=(DESCRIPTION, STATE)) as temporary:
        save_file(tensors, temporary / STATE)
        description = {"format": FORMAT, "version": VERSION, "step": step, "about": about, "optimiser": numbers}
        (temporary / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")


def stage_of(directory: Path) -> str:
    """The name of the stage in which a checkpoint was written; what came before it is contained in its weights."""
    return str(read_json(latest(directory) / DESCRIPTION, format=FORMAT, version=VERSION)["about"].get("stage", ""))


def load_checkpoint(directory: Path, module: nn.Module, optimiser: torch.optim.Optimizer, about: dict[str, Any]) -> int:
    """Restore what `save_checkpoint` wrote; returns the number of steps done.

    Raises DataError if the checkpoint is damaged, or was made from other data or another recipe than `about` says.
    """
    directory = latest(directory)
    description = read_json(directory / DESCRIPTION, format=FORMAT, version=VERSION)
    for name, value in about.items():
        if description["about"].get(name) != value:
            raise DataError(
                f"the checkpoint was made with another {name}",
                where=str(directory),
                remedy=f"resume with the same {name}, or start a new run",
            )
    try:
        tensors = load_file(directory / STATE)
        module.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("weights.")})
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        for key, value in description["optimiser"].items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(description["step"])
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise DataError(
            f"the checkpoint is damaged: {error}",
            where=str(directory / STATE),
            remedy="remove it and start the run anew",
        ) from error
