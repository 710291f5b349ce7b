"""What encoders of images share: pixels brought to mean 0 and deviation 1, and the statistics for it.

The numbers are fixed when the encoder is made and belong to its configuration: a vector depends on its own record alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.errors import DataError, UsageError
from nearfar.core.images import MAX_SIZE, one_image

MEAN, DEVIATION = 0.5, 0.25  # of photographs, roughly
SAMPLE = 256  # images: a mean over so many is right to a hundredth
LEAST = 0.02  # deviation: images of one colour must not be blown up to noise


class Scale(NamedTuple):
    """Mean and standard deviation of values 0 to 1, of each channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


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


def scaled(inputs: Tensor, scale: Scale, like: Tensor) -> Float[Tensor, "n c h w"]:
    """Bytes, or floats 0 to 1, [n c h w] as numbers around 0, on the device and of the type of `like` (a weight).

    Raises UsageError for inputs of another form.
    """
    channels = len(scale.mean)
    if (
        inputs.ndim != 4
        or inputs.shape[1] != channels
        or not (inputs.dtype == torch.uint8 or inputs.is_floating_point())
    ):
        raise UsageError(
            f"a tensor {list(inputs.shape)} of {inputs.dtype} is no batch of images of {channels} channels",
            where="encoder",
            remedy="give what `prepare` makes of records: bytes, or floats from 0 to 1, [n c h w]",
        )
    made = inputs.to(like.device, like.dtype)
    if inputs.dtype == torch.uint8:
        made = made / 255
    mean, deviation = (made.new_tensor(values)[:, None, None] for values in scale)
    return (made - mean) / deviation


def scale_from(config: Mapping[str, Any], channels: int) -> Scale:
    """What a configuration says. Raises UsageError if it makes no sense."""
    mean, deviation = config.get("mean"), config.get("deviation")
    for name, values, least in (("mean", mean, 0.0), ("deviation", deviation, 1e-6)):
        numbers = values if isinstance(values, list) and len(values) == channels else [None]
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and least <= v <= 1 for v in numbers):
            raise UsageError(f"{name} of {values!r}", where=f"encoder.{name}", remedy="give a number a channel, 0 to 1")
    return Scale(tuple(map(float, mean or ())), tuple(map(float, deviation or ())))


def check_counts(settings: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    """Raises UsageError for a setting that is no whole number from 1 to its limit."""
    for name, value in settings.items():
        if not is_count(value, limits[name]):
            most = limits[name]
            raise UsageError(
                f"{name} of {value!r}", where=f"encoder.{name}", remedy=f"give a number from 1 to {most:,}"
            )


def check_picture(size: Any, channels: Any) -> None:
    """Raises UsageError for sizes and channels that images cannot have."""
    check_counts({"size": size}, {"size": MAX_SIZE})
    if not is_count(channels, 3) or channels == 2:
        raise UsageError(f"channels of {channels!r}", where="encoder.channels", remedy="give 3 for colours, 1 for grey")


def is_count(value: Any, most: int) -> bool:
    """Whether this is a whole number from 1 to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _at(records: Mapping[str, Sequence[Any]], number: int) -> Any:
    for side in sorted(records):
        if number < len(records[side]):
            return records[side][number]
        number -= len(records[side])
    raise IndexError(number)
