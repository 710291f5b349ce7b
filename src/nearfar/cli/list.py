"""`nearfar list`: the parts and recipes there are, read from their cards without importing any."""

from __future__ import annotations

import argparse
import sys

from nearfar.catalogue.coverage import as_text as coverage_text
from nearfar.catalogue.coverage import coverage
from nearfar.catalogue.listing import as_data, as_text, choose
from nearfar.catalogue.systems import System, systems
from nearfar.catalogue.systems import as_data as systems_data
from nearfar.catalogue.systems import as_text as systems_text
from nearfar.cli.terminal import bold, print_json, width
from nearfar.core.errors import UsageError
from nearfar.core.parts import announced

_EPILOG = """examples:
  nearfar list                                every part and recipe
  nearfar list objectives                     the rules
  nearfar list objectives --has symmetric     the rules with a property
  nearfar list --word hard                    whatever mentions hard negatives
  nearfar list --systems                      the papers' systems, and how far each is
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nearfar list`."""
    parser.epilog = _EPILOG
    parser.add_argument("kind", nargs="?", help="one kind only, such as objectives, relations or recipes")
    parser.add_argument(
        "--word", metavar="TEXT", help="those whose name, summary, data, papers or relatives contain it"
    )
    parser.add_argument("--needs", metavar="WHAT", help="rules that need it in a row: positive or negative")
    parser.add_argument("--has", metavar="PROPERTY", help="rules with a property, such as shift_invariant")
    parser.add_argument("--reads", metavar="COLUMN", help="relations that read a column, such as label")
    parser.add_argument("--counts", action="store_true", help="how many there are, instead of which")
    parser.add_argument(
        "--systems", action="store_true", help="the systems of the papers and their state, instead of parts"
    )
    parser.add_argument("--json", action="store_true", help="the cards as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    if args.systems:
        found = [one for one in systems() if args.word is None or args.word.casefold() in _words(one)]
        if args.json:
            print_json({"version": 1, "systems": systems_data(found)})
        else:
            print(systems_text(found, max(width(), 100)))
        return 0
    chosen = choose(args.kind, needs=args.needs, has=args.has, reads=args.reads, word=args.word)
    for problem in announced()[1]:
        print(f"warning: {problem}", file=sys.stderr)
    if args.json:
        print_json(
            {"version": 1, **coverage()} if args.counts else {"version": 1, "parts": [as_data(part) for part in chosen]}
        )
        return 0
    if args.counts:
        print(coverage_text())
        return 0
    if not chosen:
        raise UsageError("no part passes these filters", remedy="`nearfar list` shows all of them")
    for line in as_text(chosen, width()).splitlines():
        print(bold(line) if line and not line.startswith(" ") else line)
    print("\nnearfar show NAME explains one of them.")
    return 0


def _words(system: System) -> str:
    return " ".join((system.id, system.name, system.title, system.folder, system.state, *system.recipes)).casefold()
