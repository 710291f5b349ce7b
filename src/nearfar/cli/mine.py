"""`nearfar mine`: hard negatives for pairs, found by a trained model and written as a data set to train on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nearfar.cli.arguments import add_data, add_json, add_quiet, share_of
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

EXAMPLES = """examples:
  nearfar mine runs/pairs-1 --data my.jsonl --columns question,answer --out mined.jsonl
  nearfar mine runs/pairs-1 --data my.jsonl --out mined.jsonl --ranks 0,50 --margin-relative 0.05
  nearfar mine runs/pairs-1 --data my.jsonl --out mined.jsonl --resume
  nearfar train pairs --data mined.jsonl"""

REASONS = {
    "own_positives": "right answers of their own query",
    "own_text": "the words of the query itself",
    "above_ranks": "ranked above the first rank asked for",
    "margin_absolute": "within the absolute margin of the positive",
    "margin_relative": "within the relative margin of the positive",
    "guide": "nearer than the positive, says the guide",
    "not_sampled": "more than were asked for",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, which candidates to take, where to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, or a run")
    add_data(parser)
    parser.add_argument("--out", required=True, metavar="FILE.jsonl", help="the pairs with their negatives")
    parser.add_argument("--corpus", metavar="FILE", help="further documents that may become negatives")
    parser.add_argument("--corpus-column", default="document", metavar="NAME", help="their column (document)")
    parser.add_argument("--per-query", type=int, default=5, metavar="N", help="negatives a query (5)")
    parser.add_argument(
        "--ranks",
        type=_ranks,
        default=(10, 100),
        metavar="LOW,HIGH",
        help="candidates from rank LOW up to HIGH (10,100)",
    )
    parser.add_argument("--margin-absolute", type=float, metavar="M", help="only those that score M below the positive")
    parser.add_argument(
        "--margin-relative",
        type=float,
        metavar="R",
        help="only those that score a share R of it below the positive (0.05)",
    )
    parser.add_argument("--guide", metavar="MODEL", help="only those that this model holds farther than the positive")
    parser.add_argument(
        "--sampling", choices=("top", "random"), default="top", help="the best of the rest, or random ones"
    )
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance (0)")
    parser.add_argument(
        "--chunk", type=int, default=1024, help="texts encoded at once, and lost by a kill at most (1024)"
    )
    parser.add_argument(
        "--precision", choices=("float32", "float16"), default="float32", help="of document vectors on disk (float32)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with interrupted mining")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Mine, write, say what was found."""
    from nearfar.data.lazy import lazy_records
    from nearfar.mining.mine import mine
    from nearfar.training.load import load

    corpus: Any = None
    if args.corpus:
        corpus = lazy_records(args.corpus, {args.corpus_column: "text"}).fields[args.corpus_column]
    model, guide = load(args.model), load(args.guide) if args.guide else None
    with bar("mining", quiet=args.quiet or args.json) as update:
        made = mine(
            model,
            Path(args.data),
            args.out,
            columns=args.columns,
            corpus=corpus,
            per_query=args.per_query,
            ranks=args.ranks,
            margin_absolute=args.margin_absolute,
            margin_relative=args.margin_relative,
            guide=guide,
            sampling=args.sampling,
            precision=args.precision,
            seed=args.seed,
            chunk=args.chunk,
            resume=args.resume,
            on_bad=args.on_bad,
            bad_share=share_of(args),
            progress=update,
        )
    if args.json:
        print_json({"written": str(made.path), "description": str(made.description), **made.counts})
        return 0
    counts = made.counts
    print(f"{counts['negatives']:,} negatives of {counts['queries']:,} queries, from {counts['documents']:,} documents")
    if counts["fewer"]:
        print(
            f"{counts['fewer']:,} queries got fewer than {args.per_query}, {counts['none']:,} of them none; wider --ranks help"
        )
    if counts["without_vector"]:
        print(f"the model knows no word of {counts['without_vector']:,} queries, for which nothing was mined")
    for name, reason in REASONS.items():
        if counts["dropped"][name]:
            print(f"{counts['dropped'][name]:>10,} candidates left out: {reason}")
    print(f"written {made.path}, described in {made.description}")
    return 0


def _ranks(text: str) -> tuple[int, int]:
    """Two whole numbers; argparse turns a ValueError into its own complaint."""
    low, high = text.split(",")
    return int(low), int(high)
