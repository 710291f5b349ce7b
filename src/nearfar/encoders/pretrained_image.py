"""Pretrained image encoder: any vision model of `transformers` from a local folder (ViT, DINOv2, CLIP, ConvNeXT, ResNet, ...).

        v(image) = projection( pool( model( (image - mean) / std ) ) )

Kin: `vision_transformer` and `convolutional` learn from scratch. Resizing and cropping follow the folder's
preprocessor_config.json and are done before the views; the normalisation comes after them, inside the model. Of CLIP and its kin
only the image tower is taken, without the projection into the space of texts. Batch norm (ResNet) keeps the statistics that it
was trained with, also while its scales learn: a record's vector must not depend on its batch mates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json
from nearfar.encoders.shared.architecture import build_architecture, read_architecture
from nearfar.encoders.shared.preprocessing import ImagePreprocessing, read_preprocessing, wrong_preprocessing
from nearfar.encoders.shared.pretrained_model import MAX_DIMENSION, PretrainedModel, local_folder, stored_architecture
from nearfar.encoders.shared.settings import stored
from nearfar.maths.pooling import pooled

CARD = Card(
    name="pretrained_image",
    summary="any vision model of transformers from a local folder, with its own preprocessing",
    reads=("image",),
    related=("pretrained", "vision_transformer", "convolutional"),
    public=("PretrainedImage",),
)

NOUN, EXTRA = "a pretrained image encoder", "vision"
POOLINGS = ("own", "cls", "mean", "tokens")
# Drops random patches by a generator of its own, whatever is asked.
_REFUSED = ("vit_mae", "videomae")


@dataclass(frozen=True)
class ImageSetup:
    """How a vision model becomes an encoder: all but its architecture and weights; see `PretrainedImage.fit`."""

    preprocessing: ImagePreprocessing
    pooling: str = "own"
    projection: int | None = None
    freeze: bool = False


class PretrainedImage(PretrainedModel):
    """A vision model and a projection, see the file's text. `fit` reads a folder; `from_config` does without one."""

    def __init__(self, model: Any, setup: ImageSetup) -> None:
        super().__init__(model, setup, _width(model))

    @classmethod
    def fit(
        cls,
        images: Mapping[str, Sequence[Any]],  # noqa: ARG003 - the model knows what it needs
        *,
        folder: str = "",
        pooling: str = "own",
        dimension: int | None = None,
        freeze: bool = False,
        seed: int = 0,
    ) -> PretrainedImage:
        """The encoder of a folder; the images are not looked at.

        folder     local, with config.json, model.safetensors and preprocessor_config.json
        pooling    "own" (what the model itself calls its image vector, else the first token), "cls" (the first token), "mean"
                   (of the patches), or "tokens": one vector a patch
        dimension  length of a vector, by a linear layer on top with random weights; None: none is added
        freeze     the model learns nothing (the layer on top does), and runs without dropout

        Errors: DataError for a folder that cannot be used, UsageError for an option, ResourceError without transformers.
        """
        place = local_folder(folder)
        setup = ImageSetup(read_preprocessing(place), pooling, dimension, freeze)
        if wrong := _wrong(setup):
            raise UsageError(wrong, where="encoder", remedy="choose another value")
        model = _vision_part(read_architecture(place, EXTRA))
        with seeded(seed):
            made = cls(model, setup).eval()
        try:
            with torch.no_grad():
                made(torch.zeros(1, 3, setup.preprocessing.height, setup.preprocessing.width, dtype=torch.uint8))
        except (ValueError, RuntimeError, TypeError) as error:
            if isinstance(error, (UsageError, DataError)):
                raise
            raise DataError(
                f"the model does not read what its preprocessing makes: {str(error)[:200]}",
                where=str(place),
                remedy="config.json and preprocessor_config.json must belong together; fetch the folder again",
            ) from error
        return made.train()

    def prepare(self, records: Sequence[Any]) -> Tensor:
        """Bytes [n 3 h w] of paths, Pillow images or arrays [h w] or [h w c], resized and cropped as the model wants them.

        Raises DataError, where="record i", for what is no image.
        """
        made = [self.setup.preprocessing.prepared(record, number) for number, record in enumerate(records)]
        size = self.setup.preprocessing.height, self.setup.preprocessing.width
        return torch.stack(made) if made else torch.zeros(0, 3, *size, dtype=torch.uint8)

    def forward(self, inputs: Tensor, side: str = "query") -> Rows:
        """One row an image, of bytes or floats from 0 to 1: vectors [n d]; for "tokens" [n t d] with a mask of all."""
        if not inputs.shape[0]:
            # The library's models do not all take an empty batch, and a sharded one must be called as often on every rank.
            return self.forward(inputs.new_zeros(1, *inputs.shape[1:]), side).take(slice(0, 0))
        parameter = next(self.model.parameters())
        pixels = self.setup.preprocessing.normalized(inputs.to(parameter.device)).to(parameter.dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.setup.freeze):
            output = self.model(pixel_values=pixels)
        made = self._pooled(output, pixels)
        return made.with_vectors(self.projection(made.vectors))

    def _pooled(self, output: Any, pixels: Tensor) -> Rows:
        states, own = output.last_hidden_state, getattr(output, "pooler_output", None)
        pooling = self.setup.pooling
        if pooling == "own" and own is not None:
            return Rows(own.flatten(1))
        if states.ndim == 4:  # a map [n c h w]: every place is a patch
            states, before = states.flatten(2).transpose(1, 2), 0
        else:
            before = self._tokens_before_patches(states.shape[1], pixels)
        if pooling == "cls" and not before:
            raise UsageError("this model has no token of its own for the image", where="pooling", remedy='use "own"')
        if pooling in ("mean", "tokens") or not before:
            states = states[:, before:]
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        return pooled(states, mask, pooling if pooling != "own" else "cls" if before else "mean")

    def _tokens_before_patches(self, tokens: int, pixels: Tensor) -> int:
        """The class token, and registers or a token of distillation: what is left beside a grid of patches."""
        patch = getattr(self.model.config, "patch_size", None)
        if not isinstance(patch, int):
            return 0
        return max(0, tokens - (pixels.shape[2] // patch) * (pixels.shape[3] // patch))

    def cost(self, inputs: Tensor) -> Tensor:
        """[n] ones: images of one size are the same work."""
        return torch.ones(len(inputs))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PretrainedImage:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored(NOUN):
            setup = from_json(ImageSetup, config.get("setup"), "setup")
            if wrong := _wrong(setup) or wrong_preprocessing(setup.preprocessing):
                raise UsageError(wrong)
            architecture = stored_architecture(config)
        return cls(_vision_part(build_architecture(architecture, EXTRA)), setup)


def _vision_part(model: Any) -> Any:
    """The image tower of a model of images and texts; any other is a tower itself."""
    part = getattr(model, "vision_model", model)
    if part.main_input_name != "pixel_values" or part.config.model_type in _REFUSED:
        raise DataError(
            f"a model of the kind {part.config.model_type} is no encoder of images",
            where="architecture",
            remedy="for texts use the part `pretrained`, for sound `pretrained_audio`",
        )
    if getattr(part.config, "num_channels", 3) != 3:
        raise DataError("the model does not read three channels", where="num_channels", remedy="use another")
    return part


def _width(model: Any) -> int:
    config = model.config
    width = getattr(config, "hidden_size", None) or (getattr(config, "hidden_sizes", None) or [None])[-1]
    if not isinstance(width, int) or not 0 < width <= MAX_DIMENSION:
        raise DataError("the model does not say the length of its states", where="hidden_size", remedy="use another")
    return width


def _wrong(setup: ImageSetup) -> str:
    if setup.pooling not in POOLINGS:
        return f"pooling is {setup.pooling!r}; there are {', '.join(POOLINGS)}"
    if setup.projection is not None and not 1 <= setup.projection <= MAX_DIMENSION:
        return f"dimension is {setup.projection}"
    return ""
