"""`nearfar compare`: is B better than A, by how much, how sure, and on which queries do they differ most?"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import bold, print_json, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfar.probes.compare import Compared, Row, Unit

EXAMPLES = """examples:
  nearfar compare runs/pairs-1 runs/pairs-2                 is the second better than the first?
  nearfar compare runs/pairs-1 runs/pairs-2 --metric recall@10 --most 20
  nearfar compare results/base results/large                folders that `nearfar evaluate` wrote
  nearfar compare runs/a-* --with runs/b-*                  several seeds a side: ten or more tell most"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Both sides, the metric, how much to show."""
    parser.epilog = EXAMPLES
    parser.add_argument("sides", nargs="+", metavar="RUN", help="runs or folders of results: A and B, or all of A")
    parser.add_argument("--with", dest="rivals", nargs="+", metavar="RUN", help="all of B, as many as of A")
    parser.add_argument("--metric", default="", help="instead of the main one of each task")
    parser.add_argument("--most", type=int, default=5, metavar="N", help="queries to show each way (5)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of intervals and verdicts (0.95)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, print the sentence, the figures and the queries."""
    from nearfar.core.errors import UsageError
    from nearfar.core.progress import bar
    from nearfar.probes.compare import compare

    if args.rivals is None and len(args.sides) != 2:
        raise UsageError(
            "there is only one side" if len(args.sides) == 1 else f"which of these {len(args.sides)} are A, which B?",
            where="nearfar compare",
            remedy="nearfar compare A B; with several runs a side: nearfar compare A1 A2 --with B1 B2",
        )
    if args.most < 0:
        raise UsageError(f"--most is {args.most}", where="--most", remedy="0 shows no queries")
    a, b = args.sides, args.rivals
    if b is None:
        a, b = args.sides[:1], args.sides[1:]
    quiet = args.json or not sys.stderr.isatty()
    with bar("comparing", quiet) as update:
        made = compare(a, b, args.metric, confidence=args.confidence, progress=lambda at, of: update(at, of, ""))
    if args.json:
        print_json(as_data(made, args.most))
    else:
        _print(made, args.most)
    return 0


def as_data(made: Compared, most: int) -> dict[str, Any]:
    """The comparison as JSON."""
    gained, lost = made.most(most)
    return {
        "version": 1,
        "a": made.a,
        "b": made.b,
        "verdict": made.verdict,
        "sentence": made.sentence,
        "rows": [_row_data(row) for row in made.rows],
        "others": [_row_data(row) for row in made.others],
        "wholes": [{**asdict(whole), "interval": None} for whole in made.wholes],
        "notes": list(made.notes),
        "counts": dict(zip(("above", "below", "equal"), made.counts, strict=True)),
        "b_above_a": [_unit_data(unit) for unit in gained],
        "b_below_a": [_unit_data(unit) for unit in lost],
    }


def _row_data(row: Row) -> dict[str, Any]:
    found = row.found
    return {
        "task": row.task,
        "metric": row.metric,
        "a": row.a,
        "b": row.b,
        "difference": found.difference._asdict(),
        "confidence": found.confidence,
        "higher_is_better": found.higher,
        "p_value": found.p_value,
        "p_holm": row.holm,
        "effect": None if found.effect is None or abs(found.effect) == float("inf") else found.effect,
        "verdict": row.verdict,
        "n": found.n,
        "units": found.units,
    }


def _unit_data(unit: Unit) -> dict[str, Any]:
    return {"task": unit.task, "name": unit.name, "a": unit.a, "b": unit.b, "difference": unit.difference}


def _print(made: Compared, most: int) -> None:
    from textwrap import fill

    print(fill(bold(made.sentence), width()))
    print(fill(f"A = {made.a}, B = {made.b}", width(), subsequent_indent="  "))
    several = len(made.rows) > 1
    if made.rows:
        print()
        _print_rows((*made.rows, *made.others) if not several else made.rows, several)
    if made.others:
        count = 1 + len(made.others)
        print(fill(f"The sentence is about the first metric alone; p (Holm) accounts for all {count}.", width()))
    for note in made.notes:
        print(fill(f"note: {note}", width(), subsequent_indent="  "))
    if made.wholes:
        _print_wholes(made)
    if not made.units:
        return
    gained, lost = made.most(most)
    metric = made.rows[0].metric
    shown = f"{metric} of each" if len({row.metric for row in made.rows}) == 1 else "main metric of each"
    above, below, equal = made.counts
    print(f"B is above A on {above:,}, below on {below:,}, equal on {equal:,}.")
    for units, title in ((gained, "Where B is above A by most"), (lost, "Where B is below A by most")):
        if units:
            print(f"\n{bold(title)} ({shown})")
            _print_units(units, several)


def _print_rows(rows: Sequence[Row], several: bool) -> None:
    level = f"{100 * rows[0].found.confidence:g} % interval"
    head = [*(["task"] if several else []), "metric", "A", "B", "B - A", level, "p", "p (Holm)", "effect", "B is"]
    cells = []
    for row in rows:
        mean, low, high = row.found.difference
        cells.append(
            [
                *([row.task] if several else []),
                row.metric + ("" if row.found.higher else " (less is better)"),
                f"{row.a:.3f}",
                f"{row.b:.3f}",
                f"{mean:+.3f}",
                f"{low:+.3f} to {high:+.3f}",
                _p(row.found.p_value),
                _p(row.holm) if len(rows) > 1 else "",
                "" if row.found.effect is None else f"{row.found.effect:+.2f}",
                row.verdict,
            ]
        )
    if len(rows) == 1:
        place = head.index("p (Holm)")
        head.pop(place)
        cells[0].pop(place)
    _print_table(head, cells, left={"task", "metric", "B is"})


def _print_wholes(made: Compared) -> None:
    from textwrap import fill

    print(f"\n{bold('Measured as a whole')}")
    cells = [
        [
            whole.task,
            whole.metric + ("" if whole.higher else " (less is better)"),
            f"{whole.a:.3f}",
            f"{whole.b:.3f}",
            f"{whole.b - whole.a:+.3f}",
        ]
        for whole in made.wholes
    ]
    _print_table(["task", "metric", "A", "B", "B - A"], cells, left={"task", "metric"})
    why = "These figures have no interval: no single record has a part in them, so nothing here tells a difference from chance."
    print(fill(f"{why} Measure several seeds, or several samples of records.", width()))


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if value >= 1e-3 else "< 0.001"


def _print_units(units: Sequence[Unit], several: bool) -> None:
    head = ["A", "B", "B - A", *(["task"] if several else []), "query"]
    room = width() - 30 - (3 + max(len(unit.task) for unit in units) if several else 0)
    cells = [
        [
            f"{unit.a:.3f}",
            f"{unit.b:.3f}",
            f"{unit.difference:+.3f}",
            *([unit.task] if several else []),
            _one_line(unit.name, max(20, room)),
        ]
        for unit in units
    ]
    _print_table(head, cells, left={"task", "query"})


def _one_line(text: str, room: int) -> str:
    """Somebody's text, cut, and without what would move the cursor."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= room else line[: room - 3] + "..."


def _print_table(head: Sequence[str], cells: Sequence[Sequence[str]], left: set[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        words = name in ("task", "metric")  # where room is short they are broken, and numbers stay whole
        table.add_column(name, justify="left" if name in left else "right", no_wrap=not words, overflow="fold")
    for line in cells:
        table.add_row(*line)
    Console(width=width(), highlight=False, markup=False).print(table)
