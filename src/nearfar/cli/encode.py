"""`nearfar encode`: vectors of a file's records or of a folder's images, as an array; or those of one shard of many."""

from __future__ import annotations

import argparse
from pathlib import Path

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.encodable import check_column, encodable
from nearfar.cli.encode_shard import add_shard, check_shard, encode_shard
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

EXAMPLES = """examples:
  nearfar encode runs/pairs-1 --data answers.jsonl --column answer --out answers.npy
  nearfar encode runs/image_views-1 --data photos/ --out photos.npy
  nearfar encode runs/pairs-1 --data answers.jsonl --column answer --out vectors --shard 3/16   the third of 16 machines
  nearfar merge vectors --out answers.npy                                                       when all have ended

`nearfar index` makes an index of them that can be searched."""


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
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.npy",
        help="write the vectors [n d] as float32; with --shard a folder for the shards",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is quicker where the processor multiplies it natively",
    )
    add_shard(parser)
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Encode and write."""
    check_column(args.data, args.column)
    check_shard(args)
    if args.shard is not None:
        return encode_shard(args)
    import numpy as np

    from nearfar.core.files import unwritable
    from nearfar.training.load import load

    model = load(args.model)
    items = [record.item for record in encodable(args.data, args.column)]
    with bar("encoding", quiet=args.quiet or args.json) as update:
        vectors = model.encode(items, side=args.side or model.document_side, precision=args.precision, progress=update)
    try:
        with open(args.out, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
    except OSError as error:
        raise unwritable(Path(args.out), error) from error
    if args.json:
        print_json(
            {"written": args.out, "count": len(vectors), "dimension": int(vectors.shape[1]), "model": model.fingerprint}
        )
    else:
        print(f"{len(vectors):,} vectors of {vectors.shape[1]} numbers in {args.out}")
    return 0
