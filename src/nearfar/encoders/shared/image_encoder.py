"""What encoders of images share: bytes of one size, brought to mean 0 and deviation 1 by statistics that `fit` finds.

The statistics are fixed when the encoder is made and belong to its configuration: a vector depends on its own record alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.core.errors import DataError, UsageError
from nearfar.core.images import MAX_SIZE, images, one_image
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.settings import check_choice, check_sizes, wrong

P = TypeVar("P", bound="PictureSetup")

MEAN, DEVIATION = 0.5, 0.25  # of photographs, roughly
SAMPLE = 256  # images: a mean over so many is right to a hundredth
LEAST = 0.02  # deviation: images of one colour must not be blown up to noise


class Scale(NamedTuple):
    """Mean and standard deviation of values 0 to 1, of each channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PictureSetup:
    """What every image is brought to: size x size pixels of 3 channels (colours) or 1 (grey)."""

    size: int
    channels: int

    def __post_init__(self) -> None:
        check_sizes(self, size=MAX_SIZE, channels=3)
        check_choice("channels", self.channels, (1, 3))


class ImageEncoder(nn.Module):
    """The frame: an encoder adds `fit`, `from_config`, its network and `forward`, which begins with `scaled`."""

    def __init__(self, setup: PictureSetup, scale: Scale) -> None:
        super().__init__()
        self.setup, self.scale = setup, scale

    @property
    def numbers(self) -> int:
        """Of the inputs of one record."""
        return self.setup.channels * self.setup.size**2

    def prepare(self, records: Sequence[Any]) -> Tensor:
        """Paths, Pillow images or arrays as bytes, uint8 [n c size size]. Raises DataError, where="record i"."""
        return images(records, self.setup.size, channels=self.setup.channels)

    def scaled(self, inputs: Tensor, like: Tensor) -> Float[Tensor, "n c h w"]:
        """Bytes, or floats 0 to 1, [n c h w] as numbers around 0, on the device and of the type of `like` (a weight).

        Raises UsageError for inputs of another form.
        """
        channels = self.setup.channels
        known = inputs.dtype == torch.uint8 or inputs.is_floating_point()
        if inputs.ndim != 4 or inputs.shape[1] != channels or not known:
            raise UsageError(
                f"a tensor {list(inputs.shape)} of {inputs.dtype} is no batch of images of {channels} channels",
                where="encoder",
                remedy="give what `prepare` makes of records: bytes, or floats from 0 to 1, [n c h w]",
            )
        made = inputs.to(like.device, like.dtype)
        if inputs.dtype == torch.uint8:
            made = made / 255
        mean, deviation = (made.new_tensor(values)[:, None, None] for values in self.scale)
        return (made - mean) / deviation

    def cost(self, inputs: Tensor) -> Tensor:
        """One an image [n]."""
        return torch.ones(len(inputs))

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return to_json(self.setup) | to_json(self.scale._asdict())


def scale_of(records: Mapping[str, Sequence[Any]], size: int, channels: int) -> Scale:
    """The statistics of up to SAMPLE images, evenly spaced over those of all sides.

    What cannot be read is passed over here: it is for the training to deal with. Without any records: MEAN and DEVIATION.
    Raises DataError if none of the sample can be read.
    """
    total = sum(map(len, records.values()))
    if not total:
        return Scale((MEAN,) * channels, (DEVIATION,) * channels)
    wanted = np.unique(np.linspace(0, total - 1, min(total, SAMPLE)).round().astype(np.int64)).tolist()
    read: list[Tensor] = []
    trouble: DataError | None = None
    for number in wanted:
        try:
            picture = one_image(_at(records, number), f"record {number}", size, channels).double() / 255
            read.append(torch.stack([picture.mean((1, 2)), picture.square().mean((1, 2))]))
        except DataError as error:
            trouble = trouble or error
    if not read:
        raise trouble or DataError("there is no image", remedy="give records")
    mean, square = torch.stack(read).mean(0)
    deviation = (square - mean.square()).clamp_min(0).sqrt().clamp_min(LEAST)
    return Scale(tuple(round(v, 6) for v in mean.tolist()), tuple(round(v, 6) for v in deviation.tolist()))


def stored_setup(kind: type[P], config: Mapping[str, Any]) -> tuple[P, Scale]:
    """What `config` of an encoder wrote. Raises UsageError or DataError if it makes no sense."""
    settings = dict(config)
    found: list[Any] = [settings.pop(name, None) for name in Scale._fields]
    setup = from_json(kind, settings)
    for name, values, least in zip(Scale._fields, found, (0.0, 1e-6), strict=True):
        numbers: list[Any] = values if isinstance(values, list) and len(values) == setup.channels else [None]
        if not all(type(v) in (int, float) and least <= v <= 1 for v in numbers):
            raise wrong(name, values, "give a number a channel, 0 to 1")
    return setup, Scale(*(tuple(map(float, values or ())) for values in found))


def _at(records: Mapping[str, Sequence[Any]], number: int) -> Any:
    for side in sorted(records):
        if number < len(records[side]):
            return records[side][number]
        number -= len(records[side])
    raise IndexError(number)
