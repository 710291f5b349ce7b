"""`ImagePreprocessing`: what `preprocessor_config.json` of an image model says - resize, crop, scale - done with torch alone.

        prepare   shorter side (or both) to a size, the middle cut out; bytes [3 height width]
        forward   (255 * scale * x - mean) / std, x from 0 to 1: after the views, which expect intensities

Resizing is anti-aliased, as Pillow does it; the bytes differ from Pillow's by one step at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nearfar.core.errors import DataError
from nearfar.core.images import MAX_SIZE, one_image
from nearfar.encoders.shared.architecture import read_object

RESAMPLING = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
MAX_STRETCH = (
    16  # a longer strip is cut to so many times its shorter side before it is resized: its middle is all that is kept
)


@dataclass(frozen=True)
class ImagePreprocessing:
    """height, width  of what is prepared
    resize    "shorter" (the shorter side becomes `shorter`, and the middle is cut out), "both" (proportions are lost) or "no"
    shorter   length of the shorter side before the cut
    resample  one of the values of `RESAMPLING`
    scale     of bytes, 1/255 in nearly all models
    mean, std of each channel after that
    """

    height: int
    width: int
    resize: str = "shorter"
    shorter: int = 0
    resample: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def prepared(self, record: Any, number: int) -> Tensor:
        """uint8 [3 height width] of a path, a Pillow image or an array. Raises DataError, where="record i"."""
        picture = one_image(record, f"record {number}")
        height, width = picture.shape[1:]
        if self.resize == "both":
            return self._resized(picture, self.height, self.width)
        if self.resize == "shorter":
            side = min(height, width)
            picture = _middle(picture, min(height, MAX_STRETCH * side), min(width, MAX_STRETCH * side))
            height, width = (int(self.shorter * length / side) for length in picture.shape[1:])
            picture = self._resized(picture, height, width)
        if height < self.height or width < self.width:
            raise DataError(
                f"the image has {height} x {width} pixels, the model reads {self.height} x {self.width} and its folder asks "
                "for no resizing",
                where=f"record {number}",
                remedy="resize it before",
            )
        return _middle(picture, self.height, self.width).contiguous()

    def normalized(self, images: Tensor) -> Tensor:
        """Float [n 3 h w] as the model reads it, of bytes, or of intensities from 0 to 1."""
        x = images.float() * self.scale if images.dtype == torch.uint8 else images * (255 * self.scale)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std

    def _resized(self, picture: Tensor, height: int, width: int) -> Tensor:
        if picture.shape[1:] == (height, width):
            return picture
        smooth = self.resample != "nearest-exact"
        options = {"antialias": True, "align_corners": False} if smooth else {}
        return functional.interpolate(picture[None].contiguous(), (height, width), mode=self.resample, **options)[0]


def read_preprocessing(folder: Path) -> ImagePreprocessing:
    """Of a folder's preprocessor_config.json. Raises DataError for one that is missing, or asks for what is not known here."""
    path = folder / "preprocessor_config.json"
    config = read_object(path)
    try:
        made = _read(config)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"this preprocessing is not known: {type(error).__name__}: {error}",
            where=str(path),
            remedy="known are a resize of the shorter side or of both, a central crop, a scale, a mean and a spread",
        ) from None
    if wrong := wrong_preprocessing(made):
        raise DataError(f"the preprocessing makes no sense: {wrong}", where=str(path), remedy="fetch the file again")
    return made


def wrong_preprocessing(made: ImagePreprocessing) -> str:
    """What makes no sense, or nothing."""
    sizes = [made.height, made.width, *([made.shorter] if made.resize == "shorter" else [])]
    sound = {
        f"sizes {sizes}": all(1 <= size <= MAX_SIZE for size in sizes),
        f"resize {made.resize!r}": made.resize in ("shorter", "both", "no"),
        f"resample {made.resample!r}": made.resample in RESAMPLING.values(),
        "a crop larger than the image": made.resize != "shorter" or made.shorter >= max(made.height, made.width),
        f"a spread of {made.std}": all(0 < s < float("inf") for s in made.std),
        f"a scale of {made.scale}": 0 < made.scale <= 1,
    }
    return next((what for what, holds in sound.items() if not holds), "")


def _read(config: Mapping[str, Any]) -> ImagePreprocessing:
    size, crop = config.get("size"), config.get("crop_size") if config.get("do_center_crop") else None
    both, shorter = None, 0
    if isinstance(size, int):  # as older folders say it
        both, shorter = (None, size) if crop is not None else ((size, size), 0)
    elif size is not None and "shortest_edge" in size and size.get("longest_edge") is None:
        shorter = int(size["shortest_edge"])
    elif size is not None:
        both = int(size["height"]), int(size["width"])
    if shorter and config.get("crop_pct") is not None:  # ConvNeXT's way: large images are squeezed, others cut
        both, shorter, crop = (
            ((shorter, shorter), 0, None)
            if shorter >= 384
            else (
                None,
                int(shorter / float(config["crop_pct"])),
                shorter,
            )
        )
    resize = "no" if not config.get("do_resize", True) else "both" if both else "shorter"
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    cut = (int(crop["height"]), int(crop["width"])) if crop is not None else both or (shorter, shorter)
    if both and cut != both:
        raise ValueError("a crop after both sides were resized")
    numbers = {}
    if config.get("do_normalize", True):
        mean, std = (tuple(float(v) for v in config[name]) for name in ("image_mean", "image_std"))
        if len(mean) != 3 or len(std) != 3:
            raise ValueError("not three channels")
        numbers = {"mean": mean, "std": std}
    scale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    return ImagePreprocessing(*cut, resize, shorter, RESAMPLING[int(config.get("resample", 2))], scale, **numbers)


def _middle(picture: Tensor, height: int, width: int) -> Tensor:
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    return picture[:, top : top + height, left : left + width]
