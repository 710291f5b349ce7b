"""`nearfar claim`: run a paper's claim as a paired experiment, and store its outcome."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.terminal import bold, print_json, width

if TYPE_CHECKING:
    from nearfar.claims.record import ClaimRecord

EXAMPLES = """examples:
  nearfar claim decoupled_pairs                  run it, or print what is stored if it is current
  nearfar claim ./my_method.py                   a recipe of yours with a CLAIM
  nearfar claim --all --budget 2h                all that are not current, as far as the time goes; resumes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which claims, and how long."""
    parser.epilog = EXAMPLES
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes, or Python files of yours, that make a claim")
    parser.add_argument("--all", action="store_true", help="every recipe that makes one")
    parser.add_argument("--budget", metavar="2h|30m|90s", help="begin no trial after so long; what is done is stored")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="trials at a time, a core each (all cores)"
    )
    parser.add_argument("--again", action="store_true", help="run anew what is stored and current")
    parser.add_argument("--out", default="claims/results", metavar="DIR", help="where records lie (claims/results)")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Run what is asked for, one claim after the other."""
    from nearfar.claims.found import found, with_claims
    from nearfar.claims.run import OutOfTime, processes, run_claim
    from nearfar.core.errors import NearfarError, UsageError
    from nearfar.core.progress import bar

    names = [*args.names, *(with_claims() if args.all else ())]
    if not names:
        raise UsageError("no claim is named", remedy="give a recipe, or --all")
    if args.workers < 1:
        raise UsageError(f"{args.workers} workers do nothing", where="--workers", remedy="give one or more")
    deadline = None if args.budget is None else time.monotonic() + seconds_of(args.budget)
    failed: NearfarError | None = None
    records = []
    with processes(args.workers, deadline) as trials:
        for name in names:
            made = found(name)
            try:
                with bar(f"claim {made.name}", args.quiet) as update:
                    record = run_claim(made, Path(args.out), trials, update, again=args.again)
            except OutOfTime:
                raise
            except NearfarError as error:
                if len(names) == 1:
                    raise
                failed = error
                print(f"{name}: {error}", file=sys.stderr)  # what is printed may be JSON
                continue
            records.append(record)
            if not args.json:
                print(as_text(record, made.claim.reading, width()))
    if args.json:
        print_json({"claims": [about(record) for record in records]})
    return 0 if failed is None else failed.exit_code


def as_text(record: ClaimRecord, reading: str = "", columns: int = 100) -> str:
    """What came out, for a person, and what the recipe makes of it."""
    from nearfar.claims.run import MOST_SECONDS, slowest
    from nearfar.claims.table import difference

    arms = ", ".join(f"{arm} {mean:.3f}" for arm, mean in record.means.items())
    lines = [
        f"{bold(record.name)}: {record.verdict}" + (" at this scale" if record.verdict == "not reproduced" else "")
    ]
    lines += [_filled(record.claim["text"], columns), f"  {record.metric} on {record.claim['data']}: {arms}"]
    for one in record.comparisons:
        unit = "seeds" if record.claim["unit"] == "seed" else "items"
        lines.append(f"  {difference(one)} (95 %, {one['n']:,} {unit}, p = {one['p_value']:.2g}): {one['verdict']}")
    cost = f"  {len(record.trials)} trials, {record.seconds:.0f} core seconds"
    longest = slowest(record)
    lines.append(
        cost
        + (
            f"; the longest took {longest:.0f} s, more than the {MOST_SECONDS:.0f} allowed"
            if longest > MOST_SECONDS
            else ""
        )
    )
    if reading and record.verdict:
        lines.append(_filled(f"reading: {reading}", columns))
    return "\n".join(lines)


def _filled(text: str, columns: int) -> str:
    return textwrap.fill(text, columns, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def about(record: ClaimRecord) -> dict[str, Any]:
    """What came out, for programs: all but the single trials."""
    from dataclasses import asdict

    return {k: v for k, v in asdict(record).items() if k != "trials"} | {"seconds": record.seconds}


def seconds_of(text: str) -> float:
    """A duration: 90s, 30m, 2h. Raises UsageError for anything else."""
    from nearfar.core.errors import UsageError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match:
        raise UsageError(f"{text!r} is no duration", where="--budget", remedy="write 90s, 30m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
