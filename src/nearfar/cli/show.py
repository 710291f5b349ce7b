"""`nearfar show NAME`: one part's formula, arguments, relatives and source, read without importing it."""

from __future__ import annotations

import argparse

from nearfar.catalogue.page import as_data, as_markdown, as_text
from nearfar.catalogue.source import find_any
from nearfar.cli.terminal import bold, print_json, width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nearfar show`."""
    parser.epilog = "examples:\n  nearfar show info_nce\n  nearfar show paired labelled --markdown\n"
    parser.add_argument("name", nargs="+", help="names of parts or recipes, as `nearfar list` shows them")
    parser.add_argument("--kind", help="where a part and a recipe share a name: which of them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as markdown")
    form.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the pages; nothing is printed if one of the names is unknown."""
    chosen = [find_any(name, args.kind) for name in args.name]
    if args.json:
        print_json({"version": 1, "parts": [as_data(part) for part in chosen]})
        return 0
    if args.markdown:
        print("\n".join(as_markdown(part) for part in chosen), end="")
        return 0
    for number, part in enumerate(chosen):
        title, _, rest = as_text(part, width()).partition("\n")
        print(("\n" if number else "") + bold(title) + "\n" + rest)
    return 0
