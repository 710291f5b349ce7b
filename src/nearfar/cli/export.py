"""`nearfar export`: a trained model for programs that are not nearfar, checked against the model before it is left on the disk."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING

from nearfar.cli.arguments import add_json
from nearfar.cli.encodable import encodable
from nearfar.cli.terminal import print_json

if TYPE_CHECKING:
    from nearfar.core.model import Model

TARGETS = ("sentence-transformers", "onnx")
MOST = 256  # records to check on: enough for a mean, and quick
EXAMPLES = """examples:
  nearfar export runs/fine_tune-1 --to sentence-transformers --out my-encoder
  nearfar export runs/pairs-1 --to onnx --out my-onnx
  nearfar export runs/pairs-1 --to onnx --out my-onnx --int8 --data my.jsonl --column answer     8 bits, measured on your texts"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, target, where to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, a run, or a folder of sentence-transformers")
    parser.add_argument(
        "--to", required=True, choices=TARGETS, help="a folder for that library, or one graph for onnxruntime"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the directory to write")
    parser.add_argument("--side", help="whose encoder, where the sides of the model have encoders of their own")
    parser.add_argument("--int8", action="store_true", help="onnx: a second graph with weights of 8 bits")
    parser.add_argument(
        "--data", metavar="FILE", help=f"onnx: check on these, at most {MOST:,}: a file of texts, or a folder of images"
    )
    parser.add_argument("--column", help="the column of texts in that file")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say how exact it is."""
    from nearfar.core.errors import UsageError
    from nearfar.training.load import load

    if args.to != "onnx" and (args.int8 or args.data):
        raise UsageError(
            "this is for ONNX alone", where="--int8" if args.int8 else "--data", remedy="leave it out, or --to onnx"
        )
    if args.column and not args.data:
        raise UsageError("a column of which file?", where="--column", remedy="give it by --data FILE")
    return _onnx(load(args.model), args) if args.to == "onnx" else _sentence_transformers(load(args.model), args)


def _sentence_transformers(model: Model, args: argparse.Namespace) -> int:
    from nearfar.export.sentence_transformers import to_sentence_transformers

    written = to_sentence_transformers(model, args.out, args.side)
    if args.json:
        print_json({"written": str(written), "dimension": model.dimension, "model": model.fingerprint})
    else:
        print(f'{args.out}: vectors of {model.dimension} numbers, for SentenceTransformer("{args.out}")')
    return 0


def _onnx(model: Model, args: argparse.Namespace) -> int:
    from nearfar.export.onnx_file import to_onnx

    records = [found.item for found in islice(encodable(args.data, args.column), MOST)] if args.data else None
    made = to_onnx(model, args.out, args.side, int8=args.int8, records=records)
    if args.json:
        print_json({"written": args.out, **made})
        return 0
    checked, inputs = made["checked"], " and ".join(made["inputs"])
    print(f"{args.out}/model.onnx: from {inputs} to vectors of {made['dimension']} numbers")
    print(
        f"onnxruntime gives what the model gives: {checked['largest_difference']:.0e} apart at most, on {checked['records']} records"
    )
    if int8 := made.get("int8"):
        print(
            f"{args.out}/model.int8.onnx: {_size(int8['bytes'])} instead of {_size(int8['bytes_of_float32'])}, cosine to the exact "
            f"vectors {int8['mean_cosine']:.4f} in the mean, {int8['least_cosine']:.4f} at least"
        )
    return 0


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
