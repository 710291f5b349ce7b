"""`Sample`: what a run keeps for its reports - vectors of some records, what they are, and queries worth a look.

    sample.json         format and version, texts, columns of text, examples
    sample.safetensors  vectors in half precision, columns of numbers

So a report is rendered again, with another map or beside another run, without the model and without the data. What every held-out query
got is not here, but in the run's `stored_outcomes`. Written whole or not at all, and never trusted when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.directories import latest, replaced
from nearfar.core.errors import DataError
from nearfar.core.files import read_json
from nearfar.probes.similarity_histogram import SimilarityHistogram
from nearfar.report.sections import Answered

FORMAT, VERSION = "nearfar-sample", 2
DESCRIPTION, VALUES = "sample.json", "sample.safetensors"


@dataclass(frozen=True, eq=False)
class Sample:
    """Points of an embedding, and what was measured on held-out records.

    vectors   [n d] float32 of points; `texts` [n] says what each is, `columns` name -> [n] texts or numbers what is known of it
    pool      [n] whether a point is one that others are to find: documents rather than queries
    color_by  the column that is shown first, "" for none
    near      cosines of what belongs together against all else, on held-out records
    examples  group -> queries worth a look
    note      what the sample is, in words
    """

    vectors: NDArray[np.float32]
    texts: Sequence[str]
    columns: Mapping[str, Sequence[str] | NDArray[Any]]
    pool: NDArray[np.bool_]
    color_by: str = ""
    near: SimilarityHistogram | None = None
    examples: Mapping[str, Sequence[Answered]] = field(default_factory=dict)
    note: str = ""

    def save(self, directory: Path) -> None:
        """Write into a directory of its own. Raises ResourceError where it cannot be written."""
        from safetensors.numpy import save_file

        arrays = {"vectors": self.vectors.astype(np.float16), "pool": np.asarray(self.pool, np.uint8)}
        texts: dict[str, list[str]] = {}
        for name, values in self.columns.items():
            if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
                arrays[f"column/{name}"] = values.astype(np.float64)
            else:
                texts[name] = [str(value) for value in values]
        data = {
            "format": FORMAT,
            "version": VERSION,
            "texts": list(self.texts),
            "columns": list(self.columns),
            "columns_of_text": texts,
            "color_by": self.color_by,
            "near": None if self.near is None else asdict(self.near),
            "examples": {name: [asdict(one) for one in group] for name, group in self.examples.items()},
            "note": self.note,
        }
        with replaced(directory, written_as=FORMAT, description=DESCRIPTION, files=(DESCRIPTION, VALUES)) as work:
            save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, work / VALUES)
            (work / DESCRIPTION).write_text(json.dumps(data) + "\n", "utf-8")  # ASCII: lone surrogates survive

    @classmethod
    def load(cls, directory: Path) -> Sample:
        """Read what `save` wrote. Raises DataError for what is missing, damaged or of another version."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = latest(directory)
        data = read_json(path / DESCRIPTION, format=FORMAT, version=VERSION)
        try:
            arrays = load_file(path / VALUES)
            columns = {
                name: data["columns_of_text"][name] if name in data["columns_of_text"] else arrays[f"column/{name}"]
                for name in data["columns"]
            }
            sample = cls(
                arrays["vectors"].astype(np.float32),
                data["texts"],
                columns,
                arrays["pool"].astype(bool),
                data["color_by"],
                None if data["near"] is None else SimilarityHistogram(**{k: tuple(v) for k, v in data["near"].items()}),
                {name: [Answered(**one) for one in group] for name, group in data["examples"].items()},
                data["note"],
            )
            sizes = {len(sample.texts), *map(len, columns.values()), len(sample.vectors), len(sample.pool)}
            if len(sizes) != 1 or not np.isfinite(sample.vectors).all():
                raise ValueError("its parts have different lengths, or a vector is no number")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"the sample cannot be read: {type(error).__name__}: {error}",
                where=str(path),
                remedy="the files are damaged; delete the folder, and the report does without",
            ) from error
        return sample


def has_sample(directory: Path) -> bool:
    """Whether `Sample.load` has something to read there."""
    return (latest(directory) / DESCRIPTION).is_file()
