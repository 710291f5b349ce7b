"""`images`: files, Pillow images and arrays as one tensor of bytes, all of one size. Nothing in a file is trusted.

What is decoded is made plain first: turned as its EXIF tag says, colours from palettes, transparency laid on white, 16 bits
brought to 8, and of several frames the first. Then the square in the middle is cut out and resized, with anti-aliasing.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.errors import DataError, ResourceError, UsageError

# Formats that are decoded in process; of others Pillow hands some (PostScript) to programs of the system.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
ENDINGS = ".avif .bmp .gif .jp2 .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()

MAX_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte: a file of a few bytes can claim any size
MAX_SIZE = 4096
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R 601, as JPEG and Pillow weigh red, green and blue


def images(records: Sequence[Any] | np.ndarray | Tensor, size: int | None = None, *, channels: int = 3) -> Tensor:
    """Pictures as bytes, uint8 [n channels h w].

    records   each a path, the bytes of a file, a Pillow image, an array [h w] or [h w c], or a tensor [h w] or [c h w], with
              c = 1 (grey), 3 (red, green, blue) or 4 (and opacity); of uint8, uint16 (16 bits), bool, or floats 0 to 1
    size      what is not size x size already is cropped to the square in its middle and resized (bicubic, anti-aliased)
              to that; None: all must have one size, which they keep. A JPEG of more than twice the size is decoded at a half,
              a quarter or an eighth of its own, which is several times as quick and moves no edge by a tenth of a pixel
    channels  3: grey is repeated. 1: colours become their luma

    Errors: DataError, where="record i" and the path, for what is missing, empty, cut off, no image, or absurdly large;
    UsageError for a size or number of channels that makes no sense; ResourceError without Pillow if a file is to be read.

    >>> from nearfar.core.images import images
    >>> images([np.zeros((20, 30)), np.ones((40, 30, 3))], size=16).shape
    torch.Size([2, 3, 16, 16])
    """
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise UsageError(f"images of size {size}", remedy=f"give a number of pixels from 1 to {MAX_SIZE:,}")
    if channels not in (1, 3):
        raise UsageError(f"images of {channels} channels", remedy="give 3 for colours or 1 for grey")
    made = []
    for number, record in enumerate(records):
        picture = one_image(record, f"record {number}", size, channels)
        if made and picture.shape != made[0].shape:
            raise DataError(
                f"the image has {_by(picture)} pixels, those before it {_by(made[0])}",
                where=f"record {number}",
                remedy="say a size, and all are brought to it",
            )
        made.append(picture)
    return torch.stack(made) if made else torch.zeros(0, channels, size or 0, size or 0, dtype=torch.uint8)


def one_image(record: Any, where: str, size: int | None = None, channels: int = 3) -> Tensor:
    """One picture, uint8 [channels h w]; `where` names it in errors. See `images`."""
    if isinstance(record, Mapping) and {"bytes", "path"} <= set(record):  # how data sets of images are kept in parquet
        record = record["path"] if record["bytes"] is None else record["bytes"]
    if isinstance(record, (str, os.PathLike)):
        path = os.fspath(record)
        where = _named(where, path)
        # Decoding fewer pixels of a large JPEG is several times as quick; twice the size keeps what resizing needs.
        pixels = _decoded(_checked_file(path, where), where, None if size is None else 2 * size)
    elif isinstance(record, (bytes, bytearray)):
        pixels = _decoded(io.BytesIO(record), where, None if size is None else 2 * size)
    elif isinstance(record, Tensor):
        pixels = record.detach().cpu()
        pixels = pixels.permute(1, 2, 0).numpy() if pixels.ndim == 3 else pixels.numpy()
    elif isinstance(record, np.ndarray):
        pixels = record
    elif hasattr(record, "getexif"):
        pixels = _plain(record, where)
    else:
        raise DataError(
            f"a {type(record).__name__} is no image",
            where=where,
            remedy="give a path, a Pillow image, or an array [h w] or [h w c]",
        )
    return _resized(_channels(_bytes(pixels, where), channels), size)


def image_size(path: str | os.PathLike[str], where: str) -> tuple[int, int]:
    """Height and width that the file claims, without decoding it. Raises DataError for what is no image."""
    where = _named(where, os.fspath(path))
    with _opened(_checked_file(os.fspath(path), where), where) as image:
        return image.height, image.width


def _decoded(file: str | io.BytesIO, where: str, enough: int | None) -> np.ndarray:
    """The pixels of a file; `enough` is the least length of a side that will do."""
    with _opened(file, where) as image:
        if enough is not None:
            image.draft(None, (enough, enough))  # of JPEG only
        return _plain(image, where)


def _checked_file(path: str, where: str) -> str:
    file = Path(path)
    if not file.is_file():  # also for pipes and devices, from which reading might never end
        what = "this is no file" if os.path.lexists(path.replace("\0", "")) else "there is no such file"
        raise DataError(what, where=where, remedy="give paths of images; relative ones start at the working directory")
    try:
        if not file.stat().st_size:
            raise DataError("the file is empty", where=where, remedy="fetch it again, or leave it out")
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=where, remedy="check the disk") from None
    return path


@contextmanager
def _opened(file: str | io.BytesIO, where: str) -> Iterator[Any]:
    """A Pillow image whose pixels are not read yet; whatever goes wrong with it inside `with` is a DataError."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ResourceError(
            "reading image files needs Pillow, which is not installed",
            where=where,
            remedy='pip install "nearfar[vision]"',
        ) from None
    Image.init()
    try:
        with Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            _refuse_large(image.width, image.height, where)
            yield image
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large("more", where) from None
    except UnidentifiedImageError:
        raise DataError(
            "this is no image, or of no known format",
            where=where,
            remedy=f"give {', '.join(FORMATS)}; or leave the file out",
        ) from None
    except PermissionError:
        raise DataError("the file may not be read", where=where, remedy="check its permissions") from None
    except Exception as error:  # noqa: BLE001 - a decoder fails in any way it likes on damaged bytes
        raise DataError(
            f"the image is damaged or cut off: {str(error)[:100] or type(error).__name__}",
            where=where,
            remedy="fetch it again, or leave it out",
        ) from None


def _named(where: str, path: str) -> str:
    return f"{where}, {path}" if where else path


def _plain(image: Any, where: str) -> np.ndarray:
    """A Pillow image, upright and without palette or odd colour spaces: [h w] or [h w c]."""
    from PIL import ImageOps

    _refuse_large(image.width, image.height, where)
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
        elif image.mode not in ("1", "L", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
            image = image.convert("RGB")
        pixels = np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"the image is damaged or cut off: {str(error)[:100]}",
            where=where,
            remedy="fetch it again, or leave it out",
        ) from None
    # Pillow's 32-bit grey is what it reads from 16-bit files; it has no other use in pictures.
    return pixels.clip(0, 65535).astype(np.uint16) if image.mode == "I" else pixels


def _bytes(pixels: np.ndarray, where: str) -> Tensor:
    """Pixels [h w] or [h w c] of any kind as uint8 [c h w]."""
    if pixels.ndim not in (2, 3) or not pixels.size or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise DataError(
            f"an array of shape {list(pixels.shape)} is no image",
            where=where,
            remedy="give arrays [h w] or [h w c], tensors [h w] or [c h w], with 1, 3 or 4 channels",
        )
    _refuse_large(pixels.shape[1], pixels.shape[0], where)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif pixels.dtype.kind == "f":
        # Not (low and high): a NaN fails both comparisons.
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise DataError(
                f"floats from {pixels.min():g} to {pixels.max():g} are no intensities",
                where=where,
                remedy="divide by the highest value that there can be, so that they lie between 0 and 1",
            )
        pixels = (pixels * 255).round().astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise DataError(
            f"pixels of type {pixels.dtype} have no known scale",
            where=where,
            remedy="give uint8 (0 to 255), uint16 (0 to 65535), bool, or floats from 0 to 1",
        )
    # A copy: the caller's array may be read-only, or change.
    picture = torch.from_numpy(np.array(pixels[..., None] if pixels.ndim == 2 else pixels))
    return picture.permute(2, 0, 1)


def _channels(picture: Tensor, wanted: int) -> Tensor:
    """[c h w] of 1, 3 or 4 channels as one of 1 or 3; what is transparent shows white."""
    if len(picture) == 4:
        colour, opacity = picture[:3].float(), picture[3:].float() / 255
        picture = (colour * opacity + 255 * (1 - opacity)).round().byte()
    if len(picture) == wanted:
        return picture
    if wanted == 3:
        return picture.expand(3, -1, -1)
    return (picture.float() * torch.tensor(_LUMA)[:, None, None]).sum(0, keepdim=True).round().byte()


def _resized(picture: Tensor, size: int | None) -> Tensor:
    """The square in the middle of [c h w] as [c size size]; cropped first, so that a long strip costs no memory."""
    height, width = picture.shape[1:]
    if size is None or (height, width) == (size, size):
        return picture.contiguous()
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[:, top : top + side, left : left + side].contiguous()
    return F.interpolate(square[None], (size, size), mode="bicubic", antialias=True, align_corners=False)[0]


def _refuse_large(width: int, height: int, where: str) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width:,} x {height:,}", where)


def _too_large(what: str, where: str) -> DataError:
    return DataError(
        f"the image claims to have {what} pixels, and at most {MAX_PIXELS:,} are decoded",
        where=where,
        remedy="make it smaller if it is genuine; a small file that claims so many is an attack",
    )


def _by(picture: Tensor) -> str:
    return f"{picture.shape[1]} x {picture.shape[2]}"
