"""`nearfar claims`: the table of all stored claims, with the false discovery rate."""

from __future__ import annotations

import argparse
from pathlib import Path

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import print_json, width

EXAMPLES = """examples:
  nearfar claims
  nearfar claims --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the records lie."""
    parser.epilog = EXAMPLES
    parser.add_argument("--out", default="claims/results", metavar="DIR", help="where records lie (claims/results)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the records and print them."""
    from nearfar.claims.record import stored
    from nearfar.claims.table import claim_rows, difference
    from nearfar.cli.claim import about
    from nearfar.core.errors import DataError

    rows = claim_rows(stored(Path(args.out)))
    if args.json:
        print_json({"claims": [about(row.record) | {"q": row.q} for row in rows]})
        return 0
    if not rows:
        raise DataError("no claim is stored", where=args.out, remedy="run some: nearfar claim --all --budget 1h")
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("claim", "outcome", "difference [95 %]", "q", "core s"):
        table.add_column(name, justify="right" if name in ("q", "core s") else "left")
    for row in rows:
        shown = "\n".join(difference(c) for c in row.record.comparisons)
        q = "-" if row.q is None else f"{row.q:.3f}"
        table.add_row(row.name, row.record.verdict or "unfinished", shown, q, f"{row.record.seconds:,.0f}")
    Console(width=max(100, width())).print(table)
    verdicts = [row.record.verdict or "unfinished" for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(sorted(verdicts, reverse=True)))
    print(f"\n{len(rows)} claims: {counts}. q: the share of false ones expected among all with a q as low.")
    return 0
