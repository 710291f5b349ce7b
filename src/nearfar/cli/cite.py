"""`nearfar cite [NAME ...]`: BibTeX for the papers behind what you use, and for nearfar itself."""

from __future__ import annotations

import argparse
import sys

from nearfar.catalogue.citation import bibtex, cited, software
from nearfar.cli.terminal import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nearfar cite`."""
    parser.epilog = (
        "examples:\n  nearfar cite                       nearfar itself\n  nearfar cite info_nce queue > used.bib\n"
        "  nearfar cite decoupled_views 157   a recipe, and what holds a system of `nearfar list --systems`\n"
    )
    parser.add_argument("name", nargs="*", help="parts, recipes or numbers of systems; without one, nearfar itself")
    parser.add_argument("--json", action="store_true", help="the ids as JSON instead of BibTeX")


def run(args: argparse.Namespace) -> int:
    """Print the entries; names without a paper are told on standard error."""
    papers, without = cited(args.name)
    if args.json:
        told = [
            {"id": p.id, "author": p.author, "year": p.year, "title": p.title, "used_by": names} for p, names in papers
        ]
        print_json({"version": 1, "papers": told, "software": software()})
        return 0
    print("\n\n".join([software(), *(bibtex(paper, "nearfar: " + ", ".join(names)) for paper, names in papers)]))
    for word in without:
        print(f"{word} names no paper", file=sys.stderr)
    return 0
