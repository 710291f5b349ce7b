"""`nearfar encode`: vectors of a file's records or of a folder's images, as an array or as an index that can be searched."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

EXAMPLES = """examples:
  nearfar encode runs/pairs-1 --data answers.jsonl --column answer --index answers
  nearfar search answers "how do I sort a list"
  nearfar encode runs/pairs-1 --data answers.jsonl --column answer --out answers.npy
  nearfar encode runs/image_views-1 --data photos/ --index photos-index"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, column, and what to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, a run, or a folder of sentence-transformers")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="records in a jsonl, csv, tsv or parquet file, or a folder of images",
    )
    parser.add_argument("--column", help="the column to encode; a folder has none")
    parser.add_argument("--side", help="query or document (document, or the only one that the model has)")
    parser.add_argument("--out", metavar="FILE.npy", help="write the vectors [n d] as float32")
    parser.add_argument(
        "--index", metavar="DIR", help="write an index for `nearfar search`, with every column of the records"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is quicker where the processor multiplies it natively",
    )
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Encode and write."""
    from nearfar.core.errors import UsageError

    if (args.out is None) == (args.index is None):
        raise UsageError(
            "say what to write", where="--out / --index", remedy="give one of --out FILE.npy and --index DIR"
        )
    import numpy as np

    from nearfar.core.files import unwritable
    from nearfar.search.flat import FlatIndex
    from nearfar.training.load import load

    model = load(args.model)
    records, items = _images(args) if Path(args.data).is_dir() else _texts(args)
    side = args.side or ("document" if "document" in model.sides else next(iter(model.sides)))
    with bar("encoding", quiet=args.quiet or args.json) as update:
        vectors = model.encode(items, side=side, precision=args.precision, progress=update)
    if args.index:
        rows = ({**r, "text": t} for r, t in zip(records, items, strict=True))
        about = {"model": os.path.relpath(Path(args.model).resolve(), Path(args.index).resolve()), "side": side}
        FlatIndex.build(args.index, vectors, rows, model=model.fingerprint, about=about)
    else:
        try:
            with open(args.out, "wb") as file:
                np.save(file, vectors, allow_pickle=False)
        except OSError as error:
            raise unwritable(Path(args.out), error) from error
    written = args.index or args.out
    if args.json:
        print_json(
            {"written": written, "count": len(vectors), "dimension": int(vectors.shape[1]), "model": model.fingerprint}
        )
    else:
        print(f"{len(vectors):,} vectors of {vectors.shape[1]} numbers in {written}")
    return 0


def _texts(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a file, and what of each is encoded."""
    from nearfar.core.errors import UsageError
    from nearfar.data.readers import read

    if args.column is None:
        raise UsageError("which column?", where="--column", remedy="name the one to encode")
    records: list[dict[str, Any]] = [dict(r.values) for r in read(Path(args.data))]
    return records, [_text(r, args.column, args.data, i) for i, r in enumerate(records)]


def _images(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """The images of a folder by their paths, and in which of its folders each lies."""
    from nearfar.core.errors import UsageError
    from nearfar.data.image_folder import image_folder

    if args.column is not None:
        raise UsageError("a folder has no columns", where="--column", remedy="leave it out")
    found = image_folder(args.data)
    paths = [str(path) for path in found.fields["image"]]
    classes = found.fields.get("class")
    if classes is None:
        return [{"image": path} for path in paths], paths
    return [{"image": path, "class": name} for path, name in zip(paths, classes, strict=True)], paths


def _text(record: dict[str, Any], column: str, file: str, number: int) -> str:
    from nearfar.core.errors import DataError

    value = record.get(column)
    if not isinstance(value, str):
        raise DataError(
            f"record {number + 1} has no text in {column!r}"
            if column in record
            else f"record {number + 1} has no column {column!r}",
            where=file,
            remedy=f"its columns are {sorted(record)}",
        )
    return value
