"""For users of Ray Data: a trained model that every actor loads once, and that gives each batch a column of vectors.

import ray
from nearfar.training.ray_data import Encode

answers = ray.data.read_json("answers.jsonl", lines=True)
made = {"model": "runs/pairs-1", "column": "answer"}
actors = ray.data.ActorPoolStrategy(size=4)
answers.map_batches(Encode, fn_constructor_kwargs=made, batch_size=2048, compute=actors).write_parquet("vectors")

Give the class, not an object of it: of a class Ray makes actors, which keep the model; a function runs in tasks that keep nothing.
Ray is not imported here, so that the class can be tried on a dict of arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.data.record import missing_column
from nearfar.training.load import load


class Encode:
    """A callable for `map_batches`: a batch {column: array [n]} comes back with one column more, float32 [n d].

    model       a directory that every machine of the cluster sees, as `nf.load` takes it
    column      what is encoded: texts, or paths of images that every machine sees
    side        of the model; documents' unless given, or the only one
    precision   as in `Model.encode`
    into        the name of the new column
    device      where the model computes: "cuda" for actors with num_gpus=1

    Errors: those of `nf.load` when an actor begins; DataError for a column that is not there, or that is there already, and for
    a record that cannot be encoded.

    >>> encode = Encode("runs/pairs-1", "answer")  # doctest: +SKIP
    >>> encode({"answer": np.array(["sorted(x)", "x.sort()"])})["vector"].shape  # doctest: +SKIP
    (2, 256)
    """

    def __init__(
        self,
        model: str | Path,
        column: str,
        *,
        side: str | None = None,
        precision: str = "float32",
        into: str = "vector",
        device: str = "cpu",
    ) -> None:
        self.model = load(model).to(device)
        self.side = side or self.model.document_side
        self.model.tower(self.side)  # refuses a side that there is not before a batch comes
        self.column, self.precision, self.into = column, precision, into

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with the vectors of its records."""
        if self.column not in batch:
            raise missing_column(self.column, batch, "batch")
        if self.into in batch:
            raise DataError(
                f"there is a column {self.into!r} already", where="batch", remedy="name another one: into=..."
            )
        records = np.asarray(batch[self.column]).tolist()
        return {**batch, self.into: self.model.encode(records, side=self.side, precision=self.precision)}
