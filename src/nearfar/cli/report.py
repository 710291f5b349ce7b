"""`nearfar report`: the page of a run, or of two beside each other, rendered again from what they wrote down."""

from __future__ import annotations

import argparse
from pathlib import Path

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import print_json

EXAMPLES = """examples:
  nearfar report runs/pairs-1
  nearfar report runs/pairs-1 --color-by topic --map tsne
  nearfar report runs/pairs-1 --against runs/pairs-2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, how its map is drawn, what it is compared with."""
    parser.epilog = EXAMPLES
    parser.add_argument("run", help="the directory of a run, finished or not")
    parser.add_argument("--color-by", default="", metavar="COLUMN", help="the column that colours the map at first")
    parser.add_argument("--map", default="pca", choices=("pca", "tsne"), help="how the map's two axes are made (pca)")
    parser.add_argument("--against", metavar="RUN", help="another run, measured on the same held-out queries")
    parser.add_argument(
        "--out", metavar="FILE.html", help="where to write (report.html in the run; against-NAME.html there)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Render, and say where it is."""
    from nearfar.cli.run_report import Look, Written, comparison_page, run_page
    from nearfar.report.page import write
    from nearfar.training.run import Run

    look = Look(args.color_by, args.map)
    ours = Run.open(args.run)
    name = _name(ours.directory)
    if args.against is None:
        page, path = run_page(Written(ours, name), look), Path(args.out or ours.report)
    else:
        rival = Run.open(args.against)
        other = _name(rival.directory)
        names = (name, other) if name != other else (str(args.run), str(args.against))
        page = comparison_page(Written(ours, names[0]), Written(rival, names[1]), look)
        path = Path(args.out or ours.directory / f"against-{other}.html")
    write(page, path)
    if args.json:
        print_json(
            {"report": str(path), "verdict": page.verdict or None, "facts": {k: str(v) for k, v in page.facts.items()}}
        )
        return 0
    if page.verdict:
        print(page.verdict)
    print(f"report  {path}")
    return 0


def _name(directory: Path) -> str:
    return directory.resolve().name
