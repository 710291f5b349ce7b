"""`OnnxModel`: an exported model, run by onnxruntime without torch: what a server or a phone would do with the folder.

onnx.json         format and version, fingerprint of the model, inputs, what it reads, digests of all files, how it was checked
model.onnx        one graph from the inputs to the vectors; model.int8.onnx the same with weights of 8 bits
tokenizer.json    of encoders that read tokens; units.json of the static encoder
README.md         the page for people
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.directories import latest
from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import read_json, sha256
from nearfar.core.optional import needed
from nearfar.export.feeds import Feed, feed_of, padded

FORMAT, VERSION = "nearfar-onnx", 1
DESCRIPTION, GRAPH, INT8_GRAPH = "onnx.json", "model.onnx", "model.int8.onnx"
BATCH, AT_ONCE = 32, 16_384  # records, and steps with their padding, of one run of the graph at most
AGAIN = "export the model anew: nearfar export MODEL --to onnx --out DIR"


class OnnxModel:
    """See the file's text. `OnnxModel.open` reads a folder.

    sides        that the encoder serves; prompts of theirs are put before texts
    dimension    length of a vector
    similarity   "cosine" (vectors have unit length) or "dot"
    fingerprint  of the model that was exported: an index of that model takes the vectors of this one

        model = OnnxModel.open("exported")
        vectors = model.encode(["how to parse a date"])
    """

    def __init__(self, description: Mapping[str, Any], session: Any, feed: Feed) -> None:
        self._session, self._feed = session, feed
        self._fill = {"input_ids": description["reads"].get("pad", 0)}
        self.sides = tuple(str(side) for side in description["sides"])
        self.dimension = int(description["dimension"])
        self.similarity, self.fingerprint = str(description["similarity"]), str(description["model"])

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, int8: bool = False, threads: int | None = None) -> OnnxModel:
        """The model in a folder that `nearfar export --to onnx` wrote; every file must have the digest that was written.

        int8     the graph with weights of 8 bits, where the folder has one
        threads  of onnxruntime; as many as there are cores unless given

        Raises DataError for a folder that is damaged or none of these, UsageError for int8 where there is none, ResourceError
        without onnxruntime.
        """
        runtime = needed("onnxruntime", "onnx")
        folder = latest(Path(directory))
        description = read_json(folder / DESCRIPTION, format=FORMAT, version=VERSION)
        graph = INT8_GRAPH if int8 else GRAPH
        try:
            if int8 and graph not in description["files"]:
                raise UsageError(
                    "there is no graph with weights of 8 bits", where=str(folder), remedy="export it with --int8"
                )
            for name, digest in description["files"].items():
                if Path(name).name != name or sha256(folder / name) != digest:
                    raise ValueError(f"{name} is not what was written")
            options = runtime.SessionOptions()
            options.log_severity_level = 3  # errors
            if threads is not None:
                options.intra_op_num_threads = threads
            session = _session(runtime, folder / graph, options)
            return cls(description, session, feed_of(description["reads"], folder))
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
            raise DataError(
                f"the exported model is damaged: {type(error).__name__}: {error}", where=str(folder), remedy=AGAIN
            ) from error

    def encode(self, records: Sequence[Any] | np.ndarray, side: str | None = None) -> np.ndarray:
        """Vectors [n d] float32 of n records, in their order. Records are texts, sequences of items, or bytes [c h w] of an image.

        Raises UsageError for an unknown side or a single string, DataError, where="record i", for a record that cannot be used.
        """
        if isinstance(records, str):
            raise UsageError("encode takes a list of records, not one string", remedy="write model.encode([text])")
        if side is not None and side not in self.sides:
            raise UsageError(f"this export has no side {side!r}", remedy=f"it has {sorted(self.sides)}")
        made = np.zeros((len(records), self.dimension), np.float32)
        if not len(records):
            return made
        arrays = self._feed(list(records), side or self.sides[0])
        lengths = [len(array) for array in next(iter(arrays.values()))]
        order = np.argsort(lengths, kind="stable")[::-1]  # those of like length together: little padding
        start = 0
        while start < len(order):
            some = order[start : start + max(1, min(BATCH, AT_ONCE // max(1, lengths[order[start]])))]
            given = {name: padded([each[i] for i in some], self._fill.get(name, 0)) for name, each in arrays.items()}
            made[some] = self._session.run(["vectors"], given)[0]
            start += len(some)
        return made


def _session(runtime: Any, graph: Path, options: Any) -> Any:
    try:
        return runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises errors of its own, which share no other base
        raise ValueError(f"onnxruntime says of {graph.name}: {str(error)[:200]}") from error
