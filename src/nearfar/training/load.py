"""`load`: a saved model from its directory."""

from __future__ import annotations

import json
from pathlib import Path

from nearfar.core.errors import DataError
from nearfar.core.model import DESCRIPTION, Model
from nearfar.core.parts import find
from nearfar.training.run import FORMAT


def load(directory: str | Path) -> Model:
    """The model in a directory: one that `model.save` wrote, a run directory (its `model/` is taken), a folder of
    sentence-transformers, or a text model of transformers (the mean of its states is taken, as `fine_tune` does).

    Safetensors and JSON only; nothing in the directory is ever executed. Raises DataError that names the file for a model that
    is missing, damaged, tampered with or of another version; ResourceError where transformers is needed and not installed.
    """
    path = Path(directory)
    if (path / DESCRIPTION).exists():
        return Model.load(path)
    if (path / "model" / DESCRIPTION).exists():
        return Model.load(path / "model")
    if (path / "modules.json").is_file():
        return find("sentence_transformer", "encoders").load("load_sentence_transformer")(path)
    described = _described(path / "config.json")
    if described.get("format") == FORMAT:
        raise DataError(
            "this run has no model yet, only what its training has written so far",
            where=str(path),
            remedy=f"finish it: nearfar train --resume {path}",
        )
    if "model_type" in described and (path / "tokenizer.json").is_file():
        encoder = find("pretrained", "encoders").load("Pretrained").fit({}, folder=str(path))
        return Model({"query": encoder, "document": encoder}, about={"source": "transformers"}).eval()
    return Model.load(path)


def _described(path: Path) -> dict[str, object]:
    """A JSON object in a file, empty where there is none: what it is not, `Model.load` says."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
