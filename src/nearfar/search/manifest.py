"""`index.json`: what an index says about itself. What changes with every row is in `rows.sqlite`.

The file names are fixed here and never taken from the file, so that a foreign index cannot point outside its directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nearfar.core.directories import latest
from nearfar.core.errors import DataError, ResourceError
from nearfar.core.files import write_text

FORMAT = "nearfar-index"
VERSION = 2
MANIFEST = "index.json"
ROWS = "rows.sqlite"
GRAPH, GRAPH_IS = "graph.usearch", "graph.json"
LOCK = "writing.lock"
# dtype -> the files of its vectors; the first is searched, the last is what a vector is read from.
VECTORS = {"float32": ("vectors.f32",), "int8": ("vectors.i8",), "bits": ("vectors.b1", "vectors.i8")}
FILES = frozenset(
    [MANIFEST, ROWS, f"{ROWS}-wal", f"{ROWS}-shm", f"{ROWS}-journal", GRAPH, GRAPH_IS, LOCK, *sum(VECTORS.values(), ())]
)
MAX_BYTES = 16 << 20  # of index.json
MAX_DIMENSION = 1 << 16
REBUILD = "build the index again"


@dataclass(frozen=True)
class Manifest:
    """The content of `index.json`.

    model       fingerprint of the model that made the vectors
    dimension   d of the vectors [n d]
    dtype       float32, int8, or bits (a first pass over signs, scored again by int8)
    about       what the builder wants remembered: where the model is, which side, how rankings are fused
    """

    model: str
    dimension: int
    dtype: str = "float32"
    about: Mapping[str, Any] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION

    def write(self, directory: Path) -> None:
        """Write `index.json`, whole or not at all."""
        write_text(directory / MANIFEST, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")


def place_of(directory: str | Path) -> Path:
    """Where the index is: the directory itself, or the `index` in what `nearfar quickstart` wrote."""
    path = latest(directory)
    inner = path / "index"
    return inner if not (path / MANIFEST).exists() and (inner / MANIFEST).exists() else path


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
    if values.get("dtype") not in tuple(VECTORS):
        raise damaged(path, f"dtype is {values.get('dtype')!r}; there are {', '.join(VECTORS)}")
    dimension = values.get("dimension")
    if type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION:
        raise damaged(path, f"dimension is {dimension!r}, not a whole number from 1 to {MAX_DIMENSION:,}")
    for name, kind in (("model", str), ("about", dict)):
        if not isinstance(values.get(name), kind):
            raise damaged(path, f"{name} is missing or of a wrong type")
    return Manifest(values["model"], dimension, values["dtype"], values["about"])


def damaged(path: Path, what: str) -> DataError:
    """The error for a file of an index that is not what was written."""
    return DataError(f"the index is damaged: {what}", where=str(path), remedy=REBUILD)


def unreadable(path: Path, error: OSError) -> ResourceError:
    """The error for a file that the system does not let us read."""
    what = f"the file cannot be read: {error.strerror or error}"
    return ResourceError(what, where=str(path), remedy="check its permissions and the disk")


def _object(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise DataError("there is no such directory", where=str(path.parent), remedy="check the path of the index")
    try:
        text = "" if path.stat().st_size > MAX_BYTES else path.read_text("utf-8")
        values = json.loads(text)
    except FileNotFoundError:
        raise DataError(
            f"this is no index: it has no {MANIFEST}", where=str(path.parent), remedy="give the directory of an index"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is no JSON ({str(error)[:100]})") from None
    if not isinstance(values, dict):
        raise damaged(path, "it is no JSON object")
    return values
