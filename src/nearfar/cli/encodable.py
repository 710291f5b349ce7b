"""What a model can encode in a file or folder, one record after the other: what `encode`, `index` and `export` read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nearfar.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from nearfar.data.records import Records


class Encodable(NamedTuple):
    """A record: where it stands, its row for an index (what is encoded is called `text`, or `image`), and what is encoded."""

    where: str
    row: dict[str, Any]
    item: str


def encodable(data: str, column: str | None) -> Iterator[Encodable]:
    """The records of a file by one of its columns, streamed; or the images of a folder, which has no columns.

    Raises UsageError for a column that is missing or one too many, DataError that names a record without a text.
    """
    check_column(data, column)
    return _images(data) if column is None else _texts(data, column)


def check_column(data: str, column: str | None) -> None:
    """UsageError for a file without a column, a folder with one."""
    folder = Path(data).is_dir()
    if folder and column is not None:
        raise UsageError("a folder has no columns", where="--column", remedy="leave it out")
    if not folder and column is None:
        raise UsageError("which column?", where="--column", remedy="name the one to encode")


def records_of(data: str, column: str | None) -> tuple[Records, str]:
    """The same records, read when asked for and known by a digest, and the name of what is encoded of them."""
    from nearfar.data.image_folder import image_folder
    from nearfar.data.lazy import lazy_records

    check_column(data, column)
    if column is None:
        return image_folder(data, check="header"), "image"
    return lazy_records(data, {column: "text"}), column


def _texts(data: str, column: str) -> Iterator[Encodable]:
    from nearfar.data.readers import read

    for number, record in enumerate(read(Path(data))):
        values = dict(record.values)
        text = values.pop(column, None)
        if not isinstance(text, str):
            what = "text in" if column in record.values else "column"
            raise DataError(
                f"record {number + 1} has no {what} {column!r}",
                where=data,
                remedy=f"its columns are {sorted(record.values)}",
            )
        # The encoded column is `text` in every index; another of that name would be taken for it.
        yield Encodable(
            record.where, {"text": text} | {("text_" if k == "text" else k): v for k, v in values.items()}, text
        )


def _images(data: str) -> Iterator[Encodable]:
    from nearfar.data.image_folder import image_folder

    found = image_folder(data)
    paths = [str(path) for path in found.fields["image"]]
    classes = found.fields.get("class") or [None] * len(paths)
    for path, name in zip(paths, classes, strict=True):
        yield Encodable(path, {"image": path} | ({} if name is None else {"class": name}), path)
