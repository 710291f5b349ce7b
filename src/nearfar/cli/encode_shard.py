"""What `nearfar encode --shard` does: one of n equal runs of the records, on a machine that knows nothing of the others."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from nearfar.cli.encodable import records_of
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar


def add_shard(parser: argparse.ArgumentParser) -> None:
    """--shard and --chunk."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only the I-th of N equal runs of the records, I from 1 to N; a killed one is simply run again",
    )
    parser.add_argument(
        "--chunk",
        type=int,
        metavar="RECORDS",
        help="of a shard: records encoded at once, and lost by a kill at most (2048)",
    )


def check_shard(args: argparse.Namespace) -> None:
    """UsageError for chunks of what is no shard."""
    from nearfar.core.errors import UsageError

    if args.chunk is not None and args.shard is None:
        raise UsageError("only shards are encoded in chunks", where="--chunk", remedy="leave it out, or give --shard")


def encode_shard(args: argparse.Namespace) -> int:
    """Encode one shard, say what it is and how far the whole is."""
    from nearfar.search import encode_shard as shards
    from nearfar.search.shard_files import ShardNumber
    from nearfar.training.load import load

    shard = ShardNumber.parse(args.shard)
    records, column = records_of(args.data, args.column)
    model = load(args.model)
    with bar(f"shard {shard}", quiet=args.quiet or args.json) as update:
        made, there = shards.encode_shard(
            model,
            records,
            column,
            args.out,
            shard,
            side=args.side or model.document_side,
            precision=args.precision,
            chunk=shards.CHUNK if args.chunk is None else args.chunk,
            command=_command(args),
            progress=update,
        )
    written = Path(args.out) / f"{shard.stem}.npy"
    done = len(list(Path(args.out).glob(f"shard-*-of-{shard.of:05}.json")))
    if args.json:
        facts = {"written": str(written), "shard": shard.number, "of": shard.of, "first": made.first, "stop": made.stop}
        counts = {"count": len(made), "dimension": made.dimension, "shards_complete": done}
        print_json({**facts, **counts, "model": made.common["model"], "was_complete": there})
        return 0
    which = f"records {made.first + 1:,} to {made.stop:,} of {len(records):,}"
    if there:
        print(f"shard {shard} is complete already, and left as it is: {which} in {written}")
    else:
        print(f"shard {shard}: {which}, {made.dimension} numbers each, in {written}")
    if done == shard.of:
        print(f"all {done:,} shards are complete; join them: nearfar merge {shlex.quote(args.out)} --out vectors.npy")
    else:
        print(f"{done:,} of {shard.of:,} shards are complete")
    return 0


def _command(args: argparse.Namespace) -> str:
    """What to type for another shard, with its number left out."""
    words = ["nearfar", "encode", args.model, "--data", args.data]
    words += ["--column", args.column] if args.column is not None else []
    words += ["--side", args.side] if args.side is not None else []
    words += ["--precision", args.precision] if args.precision != "float32" else []
    words += ["--chunk", str(args.chunk)] if args.chunk is not None else []
    return shlex.join([*words, "--out", args.out])
