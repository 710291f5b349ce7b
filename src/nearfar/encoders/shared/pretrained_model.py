"""What encoders around a model of `transformers` share: the folder it is read from, the layer on top, and what stays still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from torch import nn

from nearfar.core.errors import DataError, UsageError
from nearfar.core.tree import to_json
from nearfar.encoders.shared.architecture import configuration

MAX_DIMENSION = 100_000


class PretrainedModel(nn.Module):
    """The frame: a model whose vectors have length `width`, and a linear layer on top if the setup has a `projection`.

    An encoder adds `fit`, `from_config`, `prepare`, `forward` and `cost`; its setup also says whether to `freeze` the model.
    """

    def __init__(self, model: Any, setup: Any, width: int) -> None:
        super().__init__()
        self.model, self.setup = model, setup
        self.projection = nn.Linear(width, setup.projection, bias=False) if setup.projection else nn.Identity()
        self.dimension: int = setup.projection or width
        self.hold()

    def train(self, mode: bool = True) -> Self:
        """As of any module, but what is frozen stays as it is used, and batch norm keeps its stored statistics."""
        super().train(mode)
        self.hold()
        return self

    def hold(self) -> None:
        """Keep still what must not move: a frozen model, without dropout and gradient, and the statistics of batch norm."""
        for layer in self.model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        if self.setup.freeze:
            self.model.requires_grad_(False).eval()

    def config(self) -> dict[str, Any]:
        """Architecture and setup: everything but the weights, as JSON."""
        return {"architecture": configuration(self.model), "setup": to_json(self.setup)}


def local_folder(folder: str) -> Path:
    """The folder of a pretrained model. Raises UsageError if there is none of that name here."""
    place = Path(folder).expanduser()
    if not folder or not place.is_dir():
        raise UsageError(
            f"a pretrained encoder needs a local folder, and {folder!r} is none",
            where="encoder.folder",
            remedy="--set encoder.folder=PATH, with config.json and model.safetensors; nothing is fetched",
        )
    return place


def stored_architecture(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The architecture in a stored configuration. Raises DataError if there is none."""
    architecture = config.get("architecture")
    if not isinstance(architecture, Mapping):
        raise DataError("architecture is missing")
    return architecture
