"""`to_onnx`: a model as one ONNX graph, with what is needed to use it; checked against the model before it is left on the disk.

The graph is traced by torch, in float32. What torch notes in it about the files it came from is taken out. With weights of 8 bits
(dynamic quantisation: activations are quantised as they come) a second graph lies beside it, and what that costs is told.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar.core.directories import replaced
from nearfar.core.errors import ResourceError, UsageError
from nearfar.core.files import sha256
from nearfar.core.model import Model
from nearfar.core.model_card import MODEL_CARD
from nearfar.core.optional import needed
from nearfar.export.feeds import TOKENIZER, UNITS, feed_of, padded
from nearfar.export.graphs import Plan, plan_of
from nearfar.export.one_encoder import one_encoder
from nearfar.export.onnx_model import DESCRIPTION, FORMAT, GRAPH, INT8_GRAPH, VERSION, OnnxModel
from nearfar.export.probes import probes_of

ALLOWED = 1e-5  # of a number of a vector, in units of the longest vector's length where that is above 1
MOST_BYTES = 2_000_000_000  # that a file of this format holds, 2 GB
TRACED = 3  # records: a size that torch does not take for a constant, as it does 0 and 1
ALL_FILES = (DESCRIPTION, GRAPH, INT8_GRAPH, TOKENIZER, UNITS, MODEL_CARD)
USE = """```python
from nearfar.export.onnx_model import OnnxModel   # needs onnxruntime, and no torch

model = OnnxModel.open("PATH/TO/THIS/FOLDER")
vectors = model.encode(["a text", "another"])
```

Elsewhere: `onnx.json` says which inputs `model.onnx` takes and what makes them; its output `vectors` is final."""


def to_onnx(
    model: Model,
    directory: str | os.PathLike[str],
    side: str | None = None,
    *,
    int8: bool = False,
    records: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Write the folder that `OnnxModel.open` reads, whole or not at all; returns what its `onnx.json` says.

    side     whose encoder, where sides have encoders of their own
    int8     beside the graph in float32 one with weights of 8 bits; how near its vectors are is told under "int8"
    records  to check on, and to measure the cost of 8 bits by; made-up ones unless given

    An export that is already there is replaced; any other directory is refused.

    Errors: UsageError for an encoder that has no graph here, ResourceError without the packages, where it cannot be written, and
    where the graph does not give the vectors of the model to 1e-5: then nothing is left.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        needed(module, "onnx")
    chosen = one_encoder(model, side)
    plan = plan_of(chosen)
    if sum(tensor.nbytes for tensor in plan.graph.state_dict().values()) > MOST_BYTES:
        raise UsageError("a model of more than 2 GB does not go into one ONNX file", remedy="export a smaller one")
    checked = probes_of(chosen, plan) if records is None else list(records)
    if len(checked) < TRACED:
        raise UsageError(f"{len(checked)} records are too few to check on", remedy=f"give {TRACED} or more, or none")
    given = checked
    if plan.reads["kind"] == "pixels":
        given = list(chosen.tower(next(iter(chosen.sides))).prepare(checked).numpy())
    described = _described(model, chosen, plan)
    with replaced(Path(directory), written_as=FORMAT, description=DESCRIPTION, files=ALL_FILES) as work:
        for name, text in plan.files.items():
            (work / name).write_text(text, "utf-8")
        _write_graph(plan, _example(plan, work, given), work / GRAPH)
        _describe(work, described)
        described["checked"] = _checked(chosen, work, checked, given)
        if int8:
            described["int8"] = _with_int8(work, described, given)
        (work / MODEL_CARD).write_text(model.card(USE, library="onnx", further=_costs(described)), "utf-8")
        return _describe(work, described)


def _described(model: Model, chosen: Model, plan: Plan) -> dict[str, Any]:
    fixed = [plan.reads[name] for name in ("channels", "height", "width") if name in plan.reads]
    return {
        "model": model.fingerprint,
        "sides": list(chosen.sides),
        "dimension": chosen.dimension,
        "similarity": chosen.similarity,
        "inputs": {name: {"type": kind, "shape": [*sizes, *fixed]} for name, (kind, sizes) in plan.inputs.items()},
        "output": {"vectors": {"type": "float32", "shape": ["records", chosen.dimension]}},
        "reads": dict(plan.reads),
    }


def _describe(work: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """Write `onnx.json`, with the digests of the files that are there. The page for people is free to be edited."""
    names = sorted({path.name for path in work.iterdir()} - {DESCRIPTION, MODEL_CARD})
    data = {"format": FORMAT, "version": VERSION, **described, "files": {name: sha256(work / name) for name in names}}
    (work / DESCRIPTION).write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    return data


def _example(plan: Plan, work: Path, given: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """Inputs of the longest of the records, to trace with."""
    arrays = feed_of(plan.reads, work)(given, "")
    lengths = [len(array) for array in next(iter(arrays.values()))]
    some = np.argsort(lengths, kind="stable")[-TRACED:]
    return tuple(torch.from_numpy(padded([arrays[name][i] for i in some])) for name in plan.inputs)


def _write_graph(plan: Plan, example: tuple[torch.Tensor, ...], path: Path) -> None:
    import onnx

    sizes = {"records": torch.export.Dim("records"), "length": torch.export.Dim("length", max=plan.most)}
    changing = tuple({i: sizes[name] for i, name in enumerate(names)} for _, names in plan.inputs.values())
    try:
        with _quiet(), torch.no_grad():
            traced = torch.export.export(plan.graph.eval(), example, dynamic_shapes=changing, strict=False)
            program = torch.onnx.export(traced, input_names=list(plan.inputs), output_names=["vectors"], verbose=False)
    except Exception as error:  # whatever torch has against a model, its user can do nothing but know
        raise ResourceError(
            f"torch cannot write this model as a graph: {type(error).__name__}: {str(error)[:300]}",
            remedy="use it by nf.load, and report this with the output of `nearfar env`",
        ) from error
    assert program is not None
    proto = program.model_proto
    _forget_sources(proto)
    onnx.save(proto, path)


def _forget_sources(message: Any) -> None:
    """Take out notes of files and lines, which say where things lie on this machine."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _forget_sources(part)


def _checked(model: Model, work: Path, records: Sequence[Any], given: Sequence[Any]) -> dict[str, Any]:
    """The largest difference to the model, over all sides, whose prompts may differ."""
    written, largest = OnnxModel.open(work), 0.0
    for side in model.sides:
        expected = model.encode(records, side)
        length = max(1.0, float(np.linalg.norm(expected, axis=1).max()))
        apart = np.abs(written.encode(given, side) - expected).max(axis=1) / length
        worst = int(apart.argmax())
        if not apart[worst] <= ALLOWED:  # not a number is no agreement either
            raise ResourceError(
                f"the graph gives other vectors than the model: they differ by up to {apart[worst]:.1e}, where {ALLOWED:.0e} is "
                f"allowed, at record {worst} of the {len(records)} it was checked on; nothing was written",
                remedy="use the model by nf.load, and report this with the output of `nearfar env`",
            )
        largest = max(largest, float(apart[worst]))
    return {"records": len(records), "largest_difference": float(f"{largest:.1e}"), "allowed": ALLOWED}


def _with_int8(work: Path, described: Mapping[str, Any], given: Sequence[Any]) -> dict[str, Any]:
    """The second graph; how near its vectors are to those of the first, and the sizes of both."""
    quantization = needed("onnxruntime.quantization", "onnx")
    with _quiet():
        # A scale a column, not one a matrix: columns of a projection differ in size, and it takes hardly a byte more.
        quantization.quantize_dynamic(
            work / GRAPH, work / INT8_GRAPH, weight_type=quantization.QuantType.QInt8, per_channel=True
        )
    _describe(work, described)
    exact, rough = (OnnxModel.open(work, int8=int8).encode(given) for int8 in (False, True))
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rough, axis=1)
    cosines = (exact * rough).sum(1)[lengths > 0] / lengths[lengths > 0]
    return {
        "mean_cosine": round(float(cosines.mean()), 5),
        "least_cosine": round(float(cosines.min()), 5),
        "records": len(cosines),
        "bytes": (work / INT8_GRAPH).stat().st_size,
        "bytes_of_float32": (work / GRAPH).stat().st_size,
    }


def _costs(described: Mapping[str, Any]) -> str:
    checked = described["checked"]
    said = (
        f"On {checked['records']} records, the vectors of `{GRAPH}` differ from those of the model by at most "
        f"{checked['largest_difference']:.0e}."
    )
    if found := described.get("int8"):
        said += (
            f" Those of `{INT8_GRAPH}` have a cosine of {found['mean_cosine']} to them in the mean, {found['least_cosine']} at least, in "
            f"{found['bytes']:,} bytes instead of {found['bytes_of_float32']:,}."
        )
    return f"## How exact it is\n\n{said}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor log lines: the exporters tell of what is not installed, and of steps that are none of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
