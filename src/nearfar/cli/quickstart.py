"""`nearfar quickstart`: a semantic code search for the Python packages on this machine, trained, measured and explained.

Harvest pairs, hold out whole packages, train, compare with BM25 and with the untrained encoder, index everything, write
a report. Code is parsed, never imported or run; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.terminal import print_json

EXAMPLES = """examples:
  nearfar quickstart
  nearfar quickstart --root ~/my/project --root ~/.venv/lib/python3.12/site-packages
  nearfar search nearfar-quickstart "parse a date from a string"
"""
QUESTIONS = (
    "download a file over http and save it to disk",
    "copy a directory with everything in it",
    "turn a date written as text into a date object",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to harvest, where to write, the seed."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--out", default="nearfar-quickstart", metavar="DIR", help="where everything goes (nearfar-quickstart)"
    )
    parser.add_argument(
        "--root",
        action="append",
        metavar="DIR",
        help="harvest this folder instead of the installed packages; repeatable",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop the harvest at N pairs")
    parser.add_argument(
        "--held-out",
        type=int,
        default=2_000,
        metavar="N",
        help="pairs of whole packages kept for the measurement (2000)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe code_search",
    )
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance (0)")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """The whole job; its last lines are the verdict."""
    from nearfar.cli import code_search as job
    from nearfar.core.files import write_text

    started = time.perf_counter()
    quiet = args.quiet or args.json
    out = Path(args.out)
    write_text(out / "README.txt", f"Written by `nearfar quickstart`; try: nearfar search {out} 'a question'\n")
    if not quiet:
        print("Reading the Python packages on this machine (parsed, never run).", file=sys.stderr)
    corpus = job.harvest_corpus(args.root, args.limit, args.held_out, args.seed, quiet)
    trained = job.train_search(corpus, out, args.settings, args.seed, quiet)
    measured = job.measure_search(corpus, trained, quiet)
    examples = job.index_everything(corpus, trained, out, QUESTIONS, quiet)
    seconds = time.perf_counter() - started
    figures = job.figures(corpus, trained, measured, seconds)
    report = job.write_report(corpus, trained, measured, examples, figures, out)
    if args.json:
        print_json(figures)
        return 0
    job.print_table(measured)
    job.print_examples(examples)
    print()
    print(figures["verdict"])
    print(
        f"{figures['pairs']:,} pairs from {figures['files']:,} files; {seconds:.0f} s and {job.memory(figures['peak_memory_mb'])} of memory at the peak."
    )
    print(f'report  {report}\nsearch  nearfar search {out} "your question"')
    return 0
