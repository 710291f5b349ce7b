"""`image_folder`: images on disk as `Records` - a folder a class, one flat folder, or a table of paths and captions.

Images stay on disk: the field `image` holds paths, which encoders decode when a batch asks for them. Every file is looked at
before training, so that a broken one is named now and not in the ninth hour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.images import ENDINGS, image_size, one_image
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
from nearfar.data.records import Records, Taken

LOOKED_AT = 16  # pixels: a JPEG is read whole for it, and quickly


def image_folder(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    *,
    labels: bool = True,
    check: Literal["whole", "header"] = "whole",
    bad: BadRecords | None = None,
    progress: Progress | None = None,
) -> Records:
    """Records of images: fields `image` (paths) and perhaps `class` and `caption`, columns `image_id` and perhaps `label`, `caption_id`.

    path      a folder whose folders are classes (images may lie deeper in them), a flat folder of images, or a table (csv, tsv,
              jsonl, parquet) with a column of paths, relative to the table, and perhaps captions and labels
    columns   of a table: "file,caption", the columns of paths and of captions; None: found by their names
    labels    False: folders within the folder are no classes, and a table's labels are not read
    check     "whole": every file is decoded once (some hundred a second and core) and `image_id` is equal for equal files.
              "header": only what a file claims to be is read (some thousand a second); one that is cut off is found when it is
              trained on, and `image_id` is equal for equal paths
    bad       the policy for files that cannot be read; by default the first one raises
    progress  called with the number of files looked at and their number

    Labels count the sorted names of classes from 0. Files are sorted by folder and name; what starts with a dot is ignored, and
    so are files of other kinds, which a note counts.

    Errors: DataError, with the path, for a folder that is missing or without images, for images beside class folders, for a
    file that cannot be read, for a table without a column of paths; ResourceError for a folder that may not be read.

    >>> records = image_folder("photos/")                                                    # doctest: +SKIP
    >>> records.fields["class"][0], records.columns["label"][0]                              # doctest: +SKIP
    ('cat', 0)
    """
    whole = check_depth(check)
    bad, root = bad or BadRecords(), Path(path)
    found, notes = found_files(root, columns, "image", ENDINGS, labels, bad)
    good = good_ones(looked_at(found, lambda file: _look(file, whole), progress), bad, str(root))
    return records_of("image", Files([str(look.file.path) for look in good]), good, str(root), notes, bad)


class Files(Sequence[str]):
    """Paths of images, read when a batch asks for them; no list, for what is a list is decoded once and kept in memory."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        """Path number `index`, or the sequence of those of a slice."""
        return Taken(self, np.arange(len(self))[index]) if isinstance(index, slice) else self._paths[index]


def _look(file: FoundFile, whole: bool) -> Look:
    try:
        height, width = image_size(file.path, "")
        if not whole:
            return Look(file, f"{file.path} {height} {width} {file.path.stat().st_size}")
        one_image(file.path, "", LOOKED_AT)
        with open(file.path, "rb") as opened:
            return Look(file, hashlib.file_digest(opened, "sha256").hexdigest())
    except DataError as error:
        raise DataError(error.what, where=file.where, remedy=error.remedy) from error
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=file.where) from error
