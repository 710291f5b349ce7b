"""`audio_folder`: sound on disk as `Records` - a folder a class, one flat folder, or a table of paths and captions.

Sound stays on disk: the field `audio` decodes a file when a batch asks for it. Every file is looked at before training, so that a
broken one is named now and not in the ninth hour, and so that all have one rate: a wave of 8,000 samples a second is another wave at
16,000, and no encoder could know.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.waves import ENDINGS, read_wave, wave_header
from nearfar.data.bad_records import BadRecords
from nearfar.data.found_files import FoundFile, found_files
from nearfar.data.records import Note, Records, Taken
from nearfar.maths.resampling import resampled

CHUNK = 1024  # files looked at between two calls of `progress`


def audio_folder(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    rate: int | None = None,
    labels: bool = True,
    check: str = "whole",
    bad: BadRecords | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    if check not in ("whole", "header"):
        raise UsageError(f"check={check!r} is unknown", remedy='choose "whole" or "header"')
    if rate is not None and not 100 <= rate <= 1_000_000:
        raise UsageError(f"a rate of {rate}", where="rate", remedy="give samples a second, such as 16000")
    bad, root = bad or BadRecords(), Path(path)
    found, notes = found_files(root, columns, "audio", ENDINGS, labels, bad)
    looks = list(_looked_at(found, check == "whole", progress))
    common = _common_rate(looks) if rate is None else rate
    good = list(_good(looks, common if rate is None else None, bad))
    bad.finish(str(root))
    return _records(good, str(root), common, [*notes, *_about(good, common, bad)])


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


class _Look(NamedTuple):
    file: FoundFile
    digest: str
    rate: int
    error: DataError | None


def _looked_at(found: Sequence[FoundFile], whole: bool, progress: Callable[[int, int], None] | None) -> Iterator[_Look]:
    """What each file is worth, in their order; threads, for decoding leaves Python's lock alone."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(found), CHUNK):
            yield from pool.map(lambda file: _look(file, whole), found[start : start + CHUNK])
            if progress is not None:
                progress(min(start + CHUNK, len(found)), len(found))


def _look(file: FoundFile, whole: bool) -> _Look:
    path = str(file.path)
    try:
        if not whole:
            header = wave_header(path, file.where)
            return _Look(file, f"{path} {tuple(header)} {os.path.getsize(path)}", header.rate, None)
        wave, rate = read_wave(path, file.where)
        return _Look(file, sha256(wave.tobytes() + str(rate).encode()).hexdigest(), rate, None)
    except DataError as error:
        return _Look(file, "", 0, error)


def _common_rate(looks: Sequence[_Look]) -> int:
    """The rate that most files have."""
    rates = Counter(look.rate for look in looks if look.error is None)
    return rates.most_common(1)[0][0] if rates else 0


def _good(looks: Sequence[_Look], only: int | None, bad: BadRecords) -> Iterator[_Look]:
    for look in looks:
        if look.error is None and only is not None and look.rate != only:
            error = DataError(
                f"the sound has {look.rate:,} samples a second, most others {only:,}",
                where=look.file.where,
                remedy=f"resample as they are read: rate={only}",
            )
            bad.take(error)
        elif look.error is not None:
            bad.take(look.error)
        else:
            bad.seen += 1
            yield look


def _records(good: Sequence[_Look], source: str, rate: int, notes: list[Note]) -> Records:
    files = [look.file for look in good]
    fields: dict[str, Sequence[Any]] = {"audio": Waves(files, rate)}
    columns = {"audio_id": string_ids(look.digest for look in good)}
    labels = [file.label for file in files if file.label is not None]
    if labels:
        number = {name: i for i, name in enumerate(sorted(set(labels)))}
        fields["class"], columns["label"] = labels, np.array([number[name] for name in labels], dtype=np.int64)
        if len(number) == 1:
            notes = [*notes, Note(f"all files are of one class, {labels[0]!r}")]
    captions = [file.caption for file in files if file.caption is not None]
    if captions:
        fields["caption"], columns["caption_id"] = captions, string_ids(captions)
    digest = sha256(str(rate).encode())
    for look in good:
        of = (look.file.name, look.digest, look.file.label, look.file.caption)
        digest.update(repr(of).encode("utf-8", "surrogatepass"))
    return Records(fields, columns, source, tuple(notes), digest.hexdigest())


def _about(good: Sequence[_Look], rate: int, bad: BadRecords) -> Iterator[Note]:
    if bad.count:
        listed = f", listed in {bad.path}" if bad.path is not None else ""
        yield Note(f"{bad.count:,} bad records were left out{listed}; the first: {bad.reasons[0]}", "repair them")
    others = sum(look.rate != rate for look in good)
    if others:
        yield Note(f"{others:,} of {len(good):,} files are resampled to {rate:,} samples a second as they are read")
    doubles = len(good) - len({look.digest for look in good})
    if doubles:
        yield Note(f"{doubles:,} of {len(good):,} files repeat another", "let `audio_id` keep them apart")
