"""`image_folder`: images on disk as `Records` - a folder a class, one flat folder, or a table of paths and captions.

Images stay on disk: the field `image` holds paths, which encoders decode when a batch asks for them. Every file is looked at
before training, so that a broken one is named now and not in the ninth hour.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.images import ENDINGS, image_size, one_image
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind, is_null
from nearfar.data.columns import first_values
from nearfar.data.readers import FORMATS, raw_rows
from nearfar.data.record import Record, checked, missing_column
from nearfar.data.records import Note, Records, Taken

PATHS = ("image", "path", "file", "file_name", "filename", "filepath", "file_path", "image_path", "image_file")
CAPTIONS = ("caption", "text", "title", "description", "sentence")
LABELS = ("label", "class", "category")
PEEKED = 100  # rows of a table looked at to find its columns
CHUNK = 1024  # files looked at between two calls of `progress`
LOOKED_AT = 16  # pixels: a JPEG is read whole for it, and quickly


def image_folder(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    labels: bool = True,
    check: Literal["whole", "header"] = "whole",
    on_bad: Literal["raise", "skip"] = "raise",
    bad_records: str | Path | None = None,
    bad_share: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
) -> Records:
    """Records of images: fields `image` (paths) and perhaps `class` and `caption`, columns `image_id` and perhaps `label`, `caption_id`.

    path      a folder whose folders are classes (images may lie deeper in them), a flat folder of images, or a table (csv, tsv,
              jsonl, parquet) with a column of paths, relative to the table, and perhaps captions and labels
    columns   of a table: "file,caption", the columns of paths and of captions; None: found by their names
    labels    False: folders within the folder are no classes, and a table's labels are not read
    check     "whole": every file is decoded once (some hundred a second and core) and `image_id` is equal for equal files.
              "header": only what a file claims to be is read (some thousand a second); one that is cut off is found when it is
              trained on, and `image_id` is equal for equal paths
    on_bad    "raise" at the first file that cannot be read, or "skip" and write them to the file `bad_records`; above
              `bad_share` of all files that is an error too
    progress  called with the number of files looked at and their number

    Labels count the sorted names of classes from 0. Files are sorted by folder and name; what starts with a dot is ignored, and
    so are files of other kinds, which a note counts.

    Errors: DataError, with the path, for a folder that is missing or without images, for images beside class folders, for a
    file that cannot be read, for a table without a column of paths; ResourceError for a folder that may not be read.

    >>> records = image_folder("photos/")                                                    # doctest: +SKIP
    >>> records.fields["class"][0], records.columns["label"][0]                              # doctest: +SKIP
    ('cat', 0)
    """
    if check not in ("whole", "header"):
        raise UsageError(f"check={check!r} is unknown", remedy='choose "whole" or "header"')
    root, bad = Path(path), BadRecords(on_bad, bad_records, bad_share)
    if root.is_dir():
        if columns is not None:
            raise UsageError("a folder has no columns", where=str(root), remedy="give a table, or leave columns out")
        found, notes = _in_folder(root, labels)
    elif root.suffix.lower() in FORMATS or root.suffix.lower() == ".gz":
        found, notes = _in_table(root, columns, labels, bad), []
    else:
        what = "this is no folder of images and no table of paths" if root.exists() else "there is no such folder"
        raise DataError(what, where=str(root), remedy=f"give a folder, or a table: {', '.join(FORMATS)}")
    good = list(_good(_looked_at(found, check == "whole", progress), bad))
    bad.finish(str(root))
    return _records(good, str(root), [*notes, *_about(good, bad)])


class Files(Sequence[str]):
    """Paths of images, read when a batch asks for them; no list, for what is a list is decoded once and kept in memory."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        """Path number `index`, or the sequence of those of a slice."""
        return Taken(self, np.arange(len(self))[index]) if isinstance(index, slice) else self._paths[index]


class _Found(NamedTuple):
    """A file, what it is called in errors, and what is known of it."""

    path: Path
    where: str
    name: str  # relative, with slashes: a record's place in the order and the digest
    label: str | None = None
    caption: str | None = None


class _Look(NamedTuple):
    found: _Found
    digest: str
    error: DataError | None


def _in_folder(root: Path, labels: bool) -> tuple[list[_Found], list[Note]]:
    inside = sorted(_files(root), key=lambda p: p.relative_to(root).parts)
    images = [p for p in inside if p.suffix.lower() in ENDINGS]
    if not images:
        raise DataError(
            "the folder holds no images" + (f", but {len(inside):,} other files" if inside else ""),
            where=str(root),
            remedy=f"give a folder with files that end in {', '.join(ENDINGS)}",
        )
    depths = [len(p.relative_to(root).parts) for p in images]
    classes = labels and max(depths) > 1
    if classes and min(depths) == 1:
        raise DataError(
            f"{depths.count(1):,} images lie beside folders of images, so their class is unknown",
            where=str(images[depths.index(1)]),
            remedy="move them into a folder, or give labels=False",
        )
    names = [p.relative_to(root) for p in images]
    found = [
        _Found(p, "", name.as_posix(), name.parts[0] if classes else None)
        for p, name in zip(images, names, strict=True)
    ]
    notes = []
    others = Counter(p.suffix.lower() or "no ending" for p in inside if p.suffix.lower() not in ENDINGS)
    if others:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(5))
        notes.append(Note(f"{others.total():,} files that are no images were left out ({kinds})"))
    if classes:
        empty = sorted({p.name for p in root.iterdir() if _is_shown(p) and p.is_dir()} - {n.parts[0] for n in names})
        if empty:
            notes.append(Note(f"{len(empty):,} folders hold no image, {empty[0]!r} for one, and are no classes"))
    return found, notes


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder, also through links; what starts with a dot is left out, and no folder is gone through twice."""
    seen: set[str] = set()

    def fail(error: OSError) -> None:
        raise ResourceError(
            f"the folder cannot be read: {error.strerror}", where=str(error.filename), remedy="check its permissions"
        )

    for folder, folders, files in os.walk(root, followlinks=True, onerror=fail):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if _is_shown(Path(name)))
        yield from (Path(folder, name) for name in files if _is_shown(Path(name)))


def _is_shown(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def _in_table(table: Path, columns: str | Sequence[str] | None, labels: bool, bad: BadRecords) -> list[_Found]:
    rows = raw_rows(table)
    head = list(islice(rows, PEEKED))
    names = list(first_values([row.values for row in head if isinstance(row, Record)]))
    path, caption = _columns(names, columns, str(table))
    label = next((n for n in names if n.lower() in LABELS), None) if labels else None
    kinds: dict[str, Kind] = {path: "text"}
    if caption is not None:
        kinds[caption] = "text"
    if label is not None:
        kinds[label] = "any"
    found = []
    for record in checked([*head, *rows], kinds, bad, str(table)):
        name, values = record.values[path], record.values
        if label is not None and (is_null(values[label]) or values[label] == ""):
            bad.take(DataError("there is no label", where=record.where, remedy="give one, or leave all labels out"))
            continue
        named = None if label is None else str(values[label])
        described = None if caption is None else values[caption]
        found.append(_Found(table.parent / name, record.where, name, named, described))
    bad.seen = bad.count  # the good ones are counted when their files are looked at
    return found


def _columns(names: Sequence[str], given: str | Sequence[str] | None, where: str) -> tuple[str, str | None]:
    """The columns of paths and of captions."""
    if given is not None:
        chosen = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
        if not 1 <= len(chosen) <= 2:
            raise UsageError(
                f"{len(chosen)} columns", where="columns", remedy="name that of paths and that of captions"
            )
        for name in chosen:
            if name not in names:
                raise missing_column(name, names, where)
        return chosen[0], chosen[1] if len(chosen) == 2 else None
    path = next((n for n in names if n.lower() in PATHS), None)
    if path is None:
        raise DataError(
            "no column of the table is named like one of paths",
            where=where,
            remedy=f'name it, and that of captions: columns="file,caption"; there are {", ".join(names)}',
        )
    return path, next((n for n in names if n.lower() in CAPTIONS), None)


def _looked_at(found: Sequence[_Found], whole: bool, progress: Callable[[int, int], None] | None) -> Iterator[_Look]:
    """What each file is worth, in their order; threads, for decoding leaves Python's lock alone."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(found), CHUNK):
            yield from pool.map(lambda one: _look(one, whole), found[start : start + CHUNK])
            if progress is not None:
                progress(min(start + CHUNK, len(found)), len(found))


def _look(found: _Found, whole: bool) -> _Look:
    try:
        height, width = image_size(found.path, found.where)
        if not whole:
            return _Look(found, f"{found.path} {height} {width} {found.path.stat().st_size}", None)
        one_image(found.path, found.where, LOOKED_AT)
        with open(found.path, "rb") as file:
            return _Look(found, _digest(iter(lambda: file.read(1 << 20), b"")), None)
    except DataError as error:
        return _Look(found, "", error)
    except OSError as error:
        return _Look(found, "", DataError(f"the file cannot be read: {error.strerror}", where=str(found.path)))


def _digest(pieces: Iterable[bytes]) -> str:
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _good(looks: Iterable[_Look], bad: BadRecords) -> Iterator[_Look]:
    for look in looks:
        if look.error is not None:
            bad.take(look.error)
            continue
        bad.seen += 1
        yield look


def _records(good: Sequence[_Look], source: str, notes: list[Note]) -> Records:
    fields: dict[str, Sequence[Any]] = {"image": Files([str(look.found.path) for look in good])}
    columns = {"image_id": string_ids(look.digest for look in good)}
    labels = [look.found.label for look in good if look.found.label is not None]
    if labels:
        number = {name: i for i, name in enumerate(sorted(set(labels)))}
        fields["class"], columns["label"] = labels, np.array([number[name] for name in labels], dtype=np.int64)
        if len(number) == 1:
            notes = [*notes, Note(f"all images are of one class, {labels[0]!r}")]
    captions = [look.found.caption for look in good if look.found.caption is not None]
    if captions:
        fields["caption"], columns["caption_id"] = captions, string_ids(captions)
    return Records(fields, columns, source, tuple(notes), _digest(_identity(good)))


def _identity(looks: Sequence[_Look]) -> Iterator[bytes]:
    for look in looks:
        yield repr((look.found.name, look.digest, look.found.label, look.found.caption)).encode(
            "utf-8", "surrogatepass"
        )


def _about(good: Sequence[_Look], bad: BadRecords) -> Iterator[Note]:
    if bad.count:
        listed = f", listed in {bad.path}" if bad.path is not None else ""
        yield Note(f"{bad.count:,} bad records were left out{listed}; the first: {bad.reasons[0]}", "repair them")
    doubles = len(good) - len({look.digest for look in good})
    if doubles:
        yield Note(
            f"{doubles:,} of {len(good):,} images repeat another", "leave them out, or let `image_id` keep them apart"
        )
