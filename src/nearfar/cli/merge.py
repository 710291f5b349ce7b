"""`nearfar merge`: the shards that `nearfar encode --shard` wrote, checked and joined as one array."""

from __future__ import annotations

import argparse

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

EXAMPLES = """examples:
  nearfar merge vectors --out answers.npy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder of the shards, and what to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("shards", metavar="DIR", help="the folder that all shards were written into")
    parser.add_argument("--out", required=True, metavar="FILE.npy", help="write the vectors [n d] as float32")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Check, join, say what was written."""
    from nearfar.search.merge_shards import merge_shards

    with bar("merging", quiet=args.quiet or args.json) as update:
        shards = merge_shards(args.shards, args.out, update)
    count, dimension = shards.shape
    if args.json:
        facts = {"written": args.out, "count": count, "dimension": dimension, "shards": len(shards.files)}
        print_json({**facts, "model": shards.first.common["model"]})
    else:
        print(f"{count:,} vectors of {dimension} numbers in {args.out}, from {len(shards.files):,} shards")
    return 0
