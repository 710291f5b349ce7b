"""`load`: a saved model from its directory."""

from __future__ import annotations

from pathlib import Path

from nearfar.core.errors import DataError
from nearfar.core.model import DESCRIPTION, Model


def load(directory: str | Path) -> Model:
    """The model in a directory: one that `model.save` wrote, or a run directory (its `model/` is taken).

    Safetensors and JSON only; nothing in the directory is ever executed. Raises DataError that names the file for a model that
    is missing, damaged, tampered with or of another version.
    """
    path = Path(directory)
    if not (path / DESCRIPTION).exists() and (path / "model" / DESCRIPTION).exists():
        path = path / "model"
    elif (path / "config.json").exists() and (path / "checkpoints").exists() and not (path / DESCRIPTION).exists():
        raise DataError(
            "this run has no model yet, only a checkpoint", where=str(path), remedy=f"finish it with --resume {path}"
        )
    return Model.load(path)
