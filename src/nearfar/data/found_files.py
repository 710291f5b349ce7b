"""Files as records - a folder a class, one flat folder, or a table of paths and captions: found, sorted, looked at, and told about.

What a file holds is for `image_folder` and `audio_folder` to know; everything else about files is here, once for both.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind, is_null
from nearfar.data.columns import first_values
from nearfar.data.readers import FORMATS, raw_rows
from nearfar.data.record import Record, checked, missing_column
from nearfar.data.records import Note, Records

PATHS = ("path", "file", "file_name", "filename", "filepath", "file_path")
CAPTIONS = ("caption", "text", "title", "description", "sentence", "transcription", "transcript")
LABELS = ("label", "class", "category")
PEEKED = 100  # rows of a table looked at to find its columns
CHUNK = 1024  # files looked at between two calls of `progress`

Progress = Callable[[int, int], None]  # the number of files looked at, and their number


@dataclass(frozen=True)
class FoundFile:
    """A file and what is known of it.

    name   relative, with slashes: its place in the order, the same on every machine
    where  what it is called in errors
    """

    path: Path
    name: str
    where: str
    label: str | None = None
    caption: str | None = None


class Look(NamedTuple):
    """What a file turned out to be: a digest of what it holds and, of sound, samples a second; or what is wrong with it."""

    file: FoundFile
    digest: str = ""
    rate: int = 0
    error: DataError | None = None


def found_files(
    path: Path, columns: str | Sequence[str] | None, noun: str, endings: Collection[str], labels: bool, bad: BadRecords
) -> tuple[list[FoundFile], list[Note]]:
    """The files of a folder, or those that a table names; of a folder sorted, of a table in its order. None is opened.

    `noun` is what they are, as a column is named: "audio"; `endings` are theirs, with dots.
    Errors: as `nearfar.data.audio_folder.audio_folder` says, all but those of single files.
    """
    if path.is_dir():
        if columns is not None:
            raise UsageError("a folder has no columns", where=str(path), remedy="give a table, or leave columns out")
        return _in_folder(path, noun, endings, labels)
    if path.suffix.lower() in FORMATS or path.suffix.lower() == ".gz":
        return _in_table(path, columns, noun, labels, bad), []
    what = f"this is no folder of {noun} files and no table of paths" if path.exists() else "there is no such folder"
    raise DataError(what, where=str(path), remedy=f"give a folder, or a table: {', '.join(FORMATS)}")


def _in_folder(root: Path, noun: str, endings: Collection[str], labels: bool) -> tuple[list[FoundFile], list[Note]]:
    names = sorted((file.relative_to(root) for file in _files(root)), key=lambda name: name.parts)
    chosen = [name for name in names if name.suffix.lower() in endings]
    if not chosen:
        others = f", but {len(names):,} other files" if names else ""
        raise DataError(
            f"the folder holds no {noun} files{others}",
            where=str(root),
            remedy=f"give a folder with files that end in {', '.join(endings)}",
        )
    flat = [name for name in chosen if len(name.parts) == 1]
    classes = labels and len(flat) < len(chosen)
    if classes and flat:
        raise DataError(
            f"{len(flat):,} {noun} files lie beside folders of them, so their class is unknown",
            where=str(root / flat[0]),
            remedy="move them into a folder, or give labels=False",
        )
    left_out = Counter(name.suffix.lower() or "no ending" for name in names if name.suffix.lower() not in endings)
    kinds = ", ".join(f"{count:,} {ending}" for ending, count in left_out.most_common(5))
    notes = [Note(f"{left_out.total():,} files that are no {noun} were left out ({kinds})")] if left_out else []
    empty = sorted({p.name for p in root.iterdir() if _is_shown(p.name) and p.is_dir()} - {n.parts[0] for n in chosen})
    if classes and empty:
        notes.append(Note(f"{len(empty):,} folders hold no {noun}, {empty[0]!r} for one, and are no classes"))
    return [
        FoundFile(root / name, name.as_posix(), str(root / name), name.parts[0] if classes else None) for name in chosen
    ], notes


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder, also through links; what starts with a dot is left out, and no folder is gone through twice."""
    seen: set[str] = set()

    def fail(error: OSError) -> None:
        raise ResourceError(
            f"the folder cannot be read: {error.strerror}", where=str(error.filename), remedy="check its permissions"
        )

    for folder, folders, files in os.walk(root, followlinks=True, onerror=fail):
        here = os.path.realpath(folder)
        folders[:] = [] if here in seen else sorted(filter(_is_shown, folders))
        if here not in seen:
            yield from (Path(folder, name) for name in files if _is_shown(name))
        seen.add(here)


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _in_table(
    table: Path, columns: str | Sequence[str] | None, noun: str, labels: bool, bad: BadRecords
) -> list[FoundFile]:
    rows = raw_rows(table)
    head = list(islice(rows, PEEKED))
    names = list(first_values([row.values for row in head if isinstance(row, Record)]))
    path, caption = _columns(names, columns, noun, str(table))
    label = next((name for name in names if name.lower() in LABELS), None) if labels else None
    kinds: dict[str, Kind] = {path: "text"}
    if caption is not None:
        kinds[caption] = "text"
    if label is not None:
        kinds[label] = "any"
    found = []
    for record in checked([*head, *rows], kinds, bad, str(table)):
        values = record.values
        if label is not None and (is_null(values[label]) or values[label] == ""):
            bad.take(DataError("there is no label", where=record.where, remedy="give one, or leave all labels out"))
            continue
        found.append(
            FoundFile(
                table.parent / values[path],
                values[path],
                f"{record.where}, {values[path]}",
                None if label is None else str(values[label]),
                None if caption is None else values[caption],
            )
        )
    bad.seen = bad.count  # the good ones are counted when their files are looked at
    return found


def _columns(names: Sequence[str], given: str | Sequence[str] | None, noun: str, where: str) -> tuple[str, str | None]:
    """The columns of paths and of captions."""
    if given is not None:
        chosen = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
        if not 1 <= len(chosen) <= 2:
            raise UsageError(
                f"{len(chosen)} columns", where="columns", remedy="name that of paths and that of captions"
            )
        for name in chosen:
            if name not in names:
                raise missing_column(name, names, where)
        return chosen[0], chosen[1] if len(chosen) == 2 else None
    path = next((name for name in names if name.lower() in (noun, *PATHS, f"{noun}_path", f"{noun}_file")), None)
    if path is None:
        raise DataError(
            "no column of the table is named like one of paths",
            where=where,
            remedy=f'name it, and that of captions: columns="file,caption"; there are {", ".join(names)}',
        )
    return path, next((name for name in names if name.lower() in CAPTIONS), None)


def check_depth(check: str) -> bool:
    """Whether files are looked at as a whole. Raises UsageError for an unknown way."""
    if check not in ("whole", "header"):
        raise UsageError(f"check={check!r} is unknown", remedy='choose "whole" or "header"')
    return check == "whole"


def looked_at(
    found: Sequence[FoundFile], look: Callable[[FoundFile], Look], progress: Progress | None
) -> Iterator[Look]:
    """What each file is worth, in their order; threads, for decoding leaves Python's lock alone. A DataError of `look` is kept."""

    def safe(file: FoundFile) -> Look:
        try:
            return look(file)
        except DataError as error:
            return Look(file, error=error)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(found), CHUNK):
            yield from pool.map(safe, found[start : start + CHUNK])
            if progress is not None:
                progress(min(start + CHUNK, len(found)), len(found))


def good_ones(looks: Iterable[Look], bad: BadRecords, source: str) -> list[Look]:
    """The files that can be used; the others go to `bad`. Raises DataError for too many, or none that is good."""
    good = []
    for look in looks:
        if look.error is not None:
            bad.take(look.error)
        else:
            bad.seen += 1
            good.append(look)
    bad.finish(source)
    return good


def records_of(
    noun: str,
    values: Sequence[Any],
    good: Sequence[Look],
    source: str,
    notes: Sequence[Note],
    bad: BadRecords,
    beside: str = "",
) -> Records:
    """Files as records: a field `noun` of `values`, perhaps `class` and `caption`; columns `noun_id`, `label` and `caption_id`.

    `beside` is what the contents depend on besides the files.
    """
    notes = list(notes)
    fields: dict[str, Sequence[Any]] = {noun: values}
    columns = {f"{noun}_id": string_ids(look.digest for look in good)}
    labels = [look.file.label for look in good if look.file.label is not None]
    if labels:
        number = {name: i for i, name in enumerate(sorted(set(labels)))}
        fields["class"], columns["label"] = labels, np.array([number[name] for name in labels], dtype=np.int64)
        if len(number) == 1:
            notes.append(Note(f"all files are of one class, {labels[0]!r}"))
    captions = [look.file.caption for look in good if look.file.caption is not None]
    if captions:
        fields["caption"], columns["caption_id"] = captions, string_ids(captions)
    if bad.count:
        listed = f", listed in {bad.path}" if bad.path is not None else ""
        what = f"{bad.count:,} bad records were left out{listed}; the first: {bad.reasons[0]}"
        notes.append(Note(what, "repair them"))
    doubles = len(good) - len({look.digest for look in good})
    if doubles:
        what = f"{doubles:,} of {len(good):,} files repeat another"
        notes.append(Note(what, f"leave them out, or let `{noun}_id` keep them apart"))
    digest = sha256(beside.encode())
    for look in good:
        of = (look.file.name, look.digest, look.file.label, look.file.caption)
        digest.update(repr(of).encode("utf-8", "surrogatepass"))
    return Records(fields, columns, source, tuple(notes), digest.hexdigest())
