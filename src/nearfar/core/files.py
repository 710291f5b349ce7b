"""Reading and writing single files: complete or not there at all, and never trusted. Directories are in `directories`."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError, ResourceError


def write_text(path: Path, text: str) -> None:
    """Write a file whole: a reader sees the old text or the new one. Lone surrogates, which UTF-8 has not, become "?"."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def umask() -> int:
    """The process's mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def ensure_directory(path: Path) -> None:
    """Make a directory and its parents, or say that it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ResourceError:
    """The error for a place that cannot be written."""
    return ResourceError(
        f"this cannot be written: {error.strerror or error}; an older one is as it was",
        where=str(path),
        remedy="choose a place with room where you may write",
    )


def read_json(path: Path, *, format: str, version: int) -> dict[str, Any]:  # noqa: A002 - the field's own name
    """A JSON object written by nearfar, its format and version checked."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"there is no {path.name}", where=str(path.parent), remedy=f"give a {format} directory"
        ) from error
    except OSError as error:
        raise ResourceError(
            f"cannot read: {error.strerror}", where=str(path), remedy="check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"this is no JSON: {error}", where=str(path), remedy="the file is damaged; write it anew"
        ) from error
    if not isinstance(data, dict) or data.get("format") != format:
        raise DataError(f"this is no {format}", where=str(path), remedy=f"give a directory that holds a {format}")
    if data.get("version") != version:
        raise DataError(
            f"{format} version {data.get('version')!r}; this nearfar reads version {version}",
            where=str(path),
            remedy="use the nearfar that wrote it, or write it anew",
        )
    return data


def sha256(path: Path) -> str:
    """The hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
