"""What `dedupe`, `cluster` and `tag` share: how a row is shown, how rows and new columns are written."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.cli.terminal import width

if TYPE_CHECKING:
    from nearfar.search.living import Living


def add_write(parser: argparse.ArgumentParser, what: str) -> None:
    """--write and --overwrite."""
    parser.add_argument(
        "--write", metavar="COLUMN", help=f"write {what} into the index, as a column that filters can name"
    )
    parser.add_argument("--overwrite", action="store_true", help="even if rows have such a column already")


def shown(key: str, row: Mapping[str, Any], room: int) -> str:
    """One row in one line: where it is or what it is called, then its text."""
    from nearfar.search.living import text_of

    place = f"{row['file']}:{row['line']}" if "file" in row and "line" in row else str(row.get("title") or "")
    name = str(row.get("name") or "")
    said = row.get("summary") or text_of(dict(row))
    line = "  ".join(part for part in (f"[{key}]", name or place, " ".join(str(said).split())) if part)
    room = max(30, min(width() - 4, 120) - room)
    return line if len(line) <= room else line[: room - 1] + "…"


def refuse_column(name: str | None, rows: Iterable[Mapping[str, Any]], overwrite: bool) -> None:
    """UsageError for a column that rows have already, unless it is to be overwritten; `text` and `image` never are."""
    from nearfar.core.errors import UsageError

    if name is None:
        return
    if not name.strip() or name in ("text", "image"):
        raise UsageError(f"{name!r} cannot be written", where="--write", remedy="choose another name")
    if not overwrite and any(name in row for row in rows):
        raise UsageError(
            f"rows have a column {name!r} already", where="--write", remedy="choose another name, or add --overwrite"
        )


def write_column(living: Living, name: str, values: Iterable[str]) -> None:
    """A value for each row, all or none; they must still be there."""
    living.index.set_column(name, living.slots.tolist(), values)


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """A .jsonl file, whole or not at all. ResourceError where it cannot be written."""
    from nearfar.core.errors import UsageError
    from nearfar.core.files import unwritable

    if path.suffix != ".jsonl":
        raise UsageError(f"{path.name!r} is no name of a jsonl file", where=str(path), remedy="let it end in .jsonl")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        os.replace(beside, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)
