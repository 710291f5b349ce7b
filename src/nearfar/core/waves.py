"""A sound file as a wave, by libsndfile: decoded, mixed to one channel, at the rate that was asked for. Nothing in it is trusted."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, ResourceError

ENDINGS = (".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".w64")
MAX_SAMPLES = 1 << 28  # four hours at 16,000 a second: a header of a few bytes can claim any length
SHORT = 0.01  # what an mp3 may lack of the length it claims, which is an estimate

# What the log of libsndfile says of a file that holds less than its header claims; streams claim the largest size there is.
_SHORTENED = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN = 0x7FFF0000


class Header(NamedTuple):
    """What a file claims to be: samples a second, samples of each channel, channels."""

    rate: int
    samples: int
    channels: int


def wave_header(path: str, where: str) -> Header:
    """What the header of a sound file says. Raises DataError, `where`, for what cannot be or is no sound."""
    soundfile = _soundfile(where)
    _refuse_missing(path, where)
    try:
        info = soundfile.info(path, verbose=True)
    except (RuntimeError, OSError, TypeError) as error:
        raise _damaged(error, where) from None
    for claimed, there in _SHORTENED.findall(info.extra_info):
        if int(there) < int(claimed) < _UNKNOWN:
            raise _cut(where)
    header = Header(int(info.samplerate), int(info.frames), int(info.channels))
    if header.samples < 1 or header.rate < 1:
        raise DataError("the file holds no sound", where=where, remedy="leave it out")
    if header.samples * header.channels > MAX_SAMPLES:
        raise DataError(
            f"the file claims to hold {header.samples:,} samples, and at most {MAX_SAMPLES:,} are decoded",
            where=where,
            remedy="cut it into pieces if it is genuine",
        )
    return header


def read_wave(path: str, where: str) -> tuple[np.ndarray, int]:
    """(wave [t] float32 of values around -1 to 1, the mean of the channels; samples a second).

    Raises DataError for what is missing, empty, cut off, no sound, absurdly long or holds values that are not finite;
    ResourceError without soundfile.
    """
    header = wave_header(path, where)
    try:
        table, _ = _soundfile(where).read(path, dtype="float32", always_2d=True)
    except (RuntimeError, OSError, MemoryError) as error:
        raise _damaged(error, where) from None
    if len(table) < header.samples * (1 - SHORT):
        raise _cut(where)
    wave = table[:, 0] if table.shape[1] == 1 else table.mean(1)
    if not np.isfinite(wave).all():
        raise DataError("the file holds values that are not finite", where=where, remedy="write it anew")
    return np.ascontiguousarray(wave), header.rate


def _soundfile(where: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # an OSError: the package without its library
        raise ResourceError(
            "reading sound needs soundfile, which is not installed", where=where, remedy='pip install "nearfar[audio]"'
        ) from None
    return soundfile


def _refuse_missing(path: str, where: str) -> None:
    if not os.path.isfile(path):  # also for pipes and devices, from which reading might never end
        what = "this is no file" if os.path.exists(path) else "there is no such file"
        raise DataError(what, where=where, remedy="check the path; in a table it is relative to the table")
    if not os.access(path, os.R_OK):
        raise DataError("the file may not be read", where=where, remedy="check its permissions")
    if not os.path.getsize(path):
        raise DataError("the file is empty", where=where, remedy="fetch it again, or leave it out")


def _damaged(error: Exception, where: str) -> DataError:
    reason = str(error).rpartition("': ")[2] or type(error).__name__
    return DataError(
        f"this is no sound, or damaged: {reason[:100]}", where=where, remedy="fetch it again, or leave it out"
    )


def _cut(where: str) -> DataError:
    return DataError("the sound is cut off before its end", where=where, remedy="fetch it again, or leave it out")
