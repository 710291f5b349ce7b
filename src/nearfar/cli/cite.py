"""`nearfar cite [NAME ...]`: BibTeX for the papers behind what you use, and for nearfar itself."""

from __future__ import annotations

import argparse
import sys

from nearfar.catalogue.citation import bibtex, citations, software
from nearfar.catalogue.source import find_any
from nearfar.cli.terminal import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nearfar cite`."""
    parser.epilog = (
        "examples:\n  nearfar cite                       nearfar itself\n  nearfar cite info_nce queue > used.bib\n"
    )
    parser.add_argument("name", nargs="*", help="parts or recipes you used; without one, nearfar itself")
    parser.add_argument("--json", action="store_true", help="the ids as JSON instead of BibTeX")


def run(args: argparse.Namespace) -> int:
    """Print the entries; names without a paper are told on standard error."""
    chosen = [find_any(name) for name in args.name]
    cited = citations(chosen)
    if args.json:
        papers = [{"id": p.id, "author": p.author, "year": p.year, "used_by": names} for p, names in cited]
        print_json({"version": 1, "papers": papers, "software": software()})
        return 0
    print("\n\n".join([software(), *(bibtex(paper, "nearfar: " + ", ".join(names)) for paper, names in cited)]))
    named = {name for _, names in cited for name in names}
    for part in chosen:
        if part.name not in named:
            print(f"{part.name} names no paper", file=sys.stderr)
    return 0
