"""`index.json`: what an index says about itself, and the check that it is true; a damaged one is never searched.

The file names are fixed here and never taken from the file, so that a foreign index cannot point outside its directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError, ResourceError
from nearfar.core.files import sha256

FORMAT = "nearfar-index"
VERSION = 1
MANIFEST = "index.json"
FILES = ("vectors.npy", "rows.jsonl", "offsets.npy")
MAX_BYTES = 16 << 20  # of index.json
REBUILD = "build the index again"


@dataclass(frozen=True)
class Manifest:
    """The content of `index.json`.

    model       fingerprint of the model that made the vectors
    dimension, count   d and n of the vectors [n d]
    files       {name: {"bytes": ..., "sha256": ...}} of all other files
    about       what the builder wants remembered
    """

    model: str
    dimension: int
    count: int
    files: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    similarity: str = "cosine"
    dtype: str = "float32"
    format: str = FORMAT
    version: int = VERSION

    def json(self) -> str:
        """The text of `index.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_manifest(directory: Path) -> Manifest:
    """The checked manifest of an index.

    Errors: DataError if there is no index, its manifest is damaged, or it is of another version or kind.
    """
    path = directory / MANIFEST
    values = _object(path)
    if values.get("format") != FORMAT:
        raise DataError("this is no nearfar index", where=str(path), remedy="give the directory of an index")
    if values.get("version") != VERSION:
        raise DataError(
            f"the index has format version {values.get('version')!r}; this nearfar reads version {VERSION}",
            where=str(path),
            remedy=f"{REBUILD}, or use the version of nearfar that wrote it",
        )
    for name, wanted in (("similarity", "cosine"), ("dtype", "float32")):
        if values.get(name) != wanted:
            raise _damaged(path, f"{name} is {values.get(name)!r}; only {wanted!r} can be read")
    for name in ("dimension", "count"):
        if type(values.get(name)) is not int or values[name] < 1:
            raise _damaged(path, f"{name} is {values.get(name)!r}, not a positive whole number")
    for name, kind in (("model", str), ("files", dict), ("about", dict)):
        if not isinstance(values.get(name), kind):
            raise _damaged(path, f"{name} is missing or of a wrong type")
    files = values["files"]
    if set(files) != set(FILES):
        raise _damaged(path, f"it names the files {sorted(files)}, not {sorted(FILES)}")
    for name, facts in files.items():
        if not (isinstance(facts, dict) and type(facts.get("bytes")) is int and isinstance(facts.get("sha256"), str)):
            raise _damaged(path, f"size or checksum of {name} is missing")
    return Manifest(values["model"], values["dimension"], values["count"], files, values["about"])


def check_files(directory: Path, manifest: Manifest, verify: bool) -> None:
    """DataError unless every file is there in its size and, with `verify`, with its checksum."""
    for name, facts in manifest.files.items():
        path = directory / name
        try:
            size = path.stat().st_size
            same = size == facts["bytes"] and (not verify or sha256(path) == facts["sha256"])
        except FileNotFoundError:
            raise DataError("a file of the index is missing", where=str(path), remedy=REBUILD) from None
        except OSError as error:
            raise unreadable(path, error) from None
        if size != facts["bytes"]:
            what = f"the file is cut off or changed: {size:,} bytes instead of {facts['bytes']:,}"
            raise DataError(what, where=str(path), remedy=REBUILD)
        if not same:
            raise DataError("the file is not the one that was written (checksum)", where=str(path), remedy=REBUILD)


def facts(path: Path) -> dict[str, Any]:
    """What the manifest says about a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def unreadable(path: Path, error: OSError) -> ResourceError:
    """The error for a file that the system does not let us read."""
    what = f"the file cannot be read: {error.strerror or error}"
    return ResourceError(what, where=str(path), remedy="check its permissions and the disk")


def _object(path: Path) -> dict[str, Any]:
    try:
        if not path.parent.is_dir():
            raise DataError("there is no such directory", where=str(path.parent), remedy="check the path of the index")
        if path.stat().st_size > MAX_BYTES:
            raise _damaged(path, "it is absurdly large")
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"this is no index: it has no {MANIFEST}", where=str(path.parent), remedy="give the directory of an index"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is no JSON ({str(error)[:100]})") from None
    if not isinstance(values, dict):
        raise _damaged(path, "it is no JSON object")
    return values


def _damaged(path: Path, how: str) -> DataError:
    return DataError(f"{MANIFEST} is damaged: {how}", where=str(path), remedy=REBUILD)
