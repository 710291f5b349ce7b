"""`audio_folder`: sound on disk as `Records` - a folder a class, one flat folder, or a table of paths and captions.

Sound stays on disk: the field `audio` decodes a file when a batch asks for it. Every file is looked at before training, so that a
broken one is named now and not in the ninth hour, and so that all have one rate: a wave of 8,000 samples a second is another wave at
16,000, and no encoder could know.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.waves import ENDINGS, read_wave, wave_header
from nearfar.data.bad_records import BadRecords
from nearfar.data.found_files import (
    FoundFile,
    Look,
    Progress,
    check_depth,
    found_files,
    good_ones,
    looked_at,
    records_of,
)
from nearfar.data.records import Note, Records, Taken
from nearfar.maths.resampling import resampled


def audio_folder(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    rate: int | None = None,
    labels: bool = True,
    check: str = "whole",
    bad: BadRecords | None = None,
    progress: Progress | None = None,
) -> Records:
    """Records of sound: fields `audio` (waves) and perhaps `class` and `caption`, columns `audio_id` and perhaps `label`, `caption_id`.

    path      a folder whose folders are classes (files may lie deeper in them), a flat folder of files, or a table (csv, tsv,
              jsonl, parquet) with a column of paths, relative to the table, and perhaps captions and labels
    columns   of a table: "file,caption", the columns of paths and of captions; None: found by their names
    rate      samples a second: files of another rate are resampled (by a windowed sinc) as they are read. None: the files must
              all have one, which they keep
    labels    False: folders within the folder are no classes, and a table's labels are not read
    check     "whole": every file is decoded once, and `audio_id` is equal for equal files. "header": only what a file claims
              to be is read; a damaged one may be found only when it is trained on, and `audio_id` is equal for equal paths
    bad       the policy for files that cannot be read; by default the first one raises
    progress  called with the number of files looked at and their number

    A wave is a float32 array [t], the mean of a file's channels. Labels count the sorted names of classes from 0. Files are
    sorted by folder and name; what starts with a dot is ignored, and so are files of other kinds, which a note counts.
    `records.fields["audio"].rate` is the rate of all.

    Errors: DataError, with the path, for a folder that is missing or without sound, for files beside class folders, for a file
    that is missing, empty, cut off, damaged, absurdly long or of another rate, for a table without a column of paths;
    ResourceError for a folder that may not be read, and without soundfile; UsageError for options that make no sense.

    >>> records = audio_folder("recordings/", rate=16_000)                                   # doctest: +SKIP
    >>> records.fields["audio"][0].shape, records.fields["class"][0]                         # doctest: +SKIP
    ((22834,), 'dog')
    """
    whole = check_depth(check)
    if rate is not None and not 100 <= rate <= 1_000_000:
        raise UsageError(f"a rate of {rate}", where="rate", remedy="give samples a second, such as 16000")
    bad, root = bad or BadRecords(), Path(path)
    found, notes = found_files(root, columns, "audio", ENDINGS, labels, bad)
    looks = list(looked_at(found, lambda file: _look(file, whole), progress))
    common = _common_rate(looks) if rate is None else rate
    if rate is None:
        looks = [_of_rate(common, look) for look in looks]
    good = good_ones(looks, bad, str(root))
    others = sum(look.rate != common for look in good)
    if others:
        what = f"{others:,} of {len(good):,} files are resampled to {common:,} samples a second as they are read"
        notes = [*notes, Note(what)]
    waves = Waves([look.file for look in good], common)
    return records_of("audio", waves, good, str(root), notes, bad, beside=str(common))


class Waves(Sequence[np.ndarray]):
    """Waves [t] float32 of `rate` samples a second, each decoded (and resampled) when it is asked for."""

    def __init__(self, files: Sequence[FoundFile], rate: int) -> None:
        self._files, self.rate = list(files), rate

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: Any) -> Any:
        """Wave number `index`, or the sequence of those of a slice, which are not read yet."""
        if isinstance(index, slice):
            return Taken(self, np.arange(len(self))[index])
        file = self._files[index]
        wave, found = read_wave(str(file.path), file.where)
        return wave if found == self.rate else resampled(wave, found / self.rate)


def _look(file: FoundFile, whole: bool) -> Look:
    path = str(file.path)
    if not whole:
        header = wave_header(path, file.where)
        return Look(file, f"{path} {tuple(header)} {os.path.getsize(path)}", header.rate)
    wave, rate = read_wave(path, file.where)
    return Look(file, sha256(wave.tobytes() + str(rate).encode()).hexdigest(), rate)


def _common_rate(looks: Sequence[Look]) -> int:
    """The rate that most files have."""
    rates = Counter(look.rate for look in looks if look.error is None)
    return rates.most_common(1)[0][0] if rates else 0


def _of_rate(common: int, look: Look) -> Look:
    """The look as it is, or with an error for sound of another rate."""
    if look.error is not None or look.rate == common:
        return look
    error = DataError(
        f"the sound has {look.rate:,} samples a second, most others {common:,}",
        where=look.file.where,
        remedy=f"resample as they are read: rate={common}",
    )
    return look._replace(error=error)
