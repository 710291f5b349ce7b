"""Files of records - a folder a class, one flat folder, or a table of paths and captions - found, sorted and named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind, is_null
from nearfar.data.columns import first_values
from nearfar.data.readers import FORMATS, raw_rows
from nearfar.data.record import Record, checked, missing_column
from nearfar.data.records import Note

PATHS = ("path", "file", "file_name", "filename", "filepath", "file_path")
CAPTIONS = ("caption", "text", "title", "description", "sentence", "transcription", "transcript")
LABELS = ("label", "class", "category")
PEEKED = 100  # rows of a table looked at to find its columns


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


def found_files(
    path: Path, columns: str | Sequence[str] | None, noun: str, endings: Collection[str], labels: bool, bad: BadRecords
) -> tuple[list[FoundFile], list[Note]]:
    """The files of a folder, or those that a table names; of a folder sorted, of a table in its order. None is opened.

    `noun` is what they are, as a column is named and in the plural of errors: "sound"; `endings` are theirs, with dots.
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
        folders[:] = [] if here in seen else sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        if here not in seen:
            yield from (Path(folder, name) for name in files if not name.startswith("."))
        seen.add(here)


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
