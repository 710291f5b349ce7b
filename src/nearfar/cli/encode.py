"""`nearfar encode`: vectors of a file's records, as an array or as an index that can be searched."""

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
  nearfar encode runs/pairs-1 --data answers.jsonl --column answer --out answers.npy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, column, and what to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, or a run")
    parser.add_argument("--data", required=True, metavar="FILE", help="records in a jsonl, csv, tsv or parquet file")
    parser.add_argument("--column", required=True, help="the column to encode")
    parser.add_argument("--side", default="document", help="query or document (document)")
    parser.add_argument("--out", metavar="FILE.npy", help="write the vectors [n d] as float32")
    parser.add_argument(
        "--index", metavar="DIR", help="write an index for `nearfar search`, with every column of the records"
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
    from nearfar.data.readers import read
    from nearfar.search.flat import FlatIndex
    from nearfar.training.load import load

    model = load(args.model)
    records: list[dict[str, Any]] = [dict(r.values) for r in read(Path(args.data))]
    texts = [_text(r, args.column, args.data, i) for i, r in enumerate(records)]
    with bar("encoding", quiet=args.quiet or args.json) as update:
        vectors = model.encode(texts, side=args.side, progress=update)
    if args.index:
        rows = ({**r, "text": t} for r, t in zip(records, texts, strict=True))
        about = {"model": os.path.relpath(Path(args.model).resolve(), Path(args.index).resolve()), "side": args.side}
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
