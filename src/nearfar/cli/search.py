"""`nearfar search`: the records of an index that are nearest to a question."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import bold, print_json, width

EXAMPLES = """examples:
  nearfar search nearfar-quickstart "parse a date from a string"
  nearfar search answers "how do I sort a list" --k 3 --json
  nearfar search photos-index photos/cat/7.jpg                 images like this one"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, question, how many."""
    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument("query", nargs="+", help="the question, in words; of an index of images, the path of one")
    parser.add_argument("--k", type=int, default=5, help="how many records (5)")
    parser.add_argument("--model", metavar="DIR", help="the model that made the index, if it was moved")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Search and print."""
    from nearfar.core.errors import DataError, UsageError
    from nearfar.search.flat import FlatIndex
    from nearfar.training.load import load

    directory = Path(args.index)
    if not (directory / "index.json").exists() and (directory / "index" / "index.json").exists():
        directory = directory / "index"
    index = FlatIndex.open(directory)
    place = args.model or index.manifest.about.get("model")
    if not isinstance(place, str):
        raise DataError(
            "the index does not say where its model is", where=str(directory), remedy="give it with --model DIR"
        )
    model = load(Path(place) if args.model else directory.resolve() / place)
    query = " ".join(args.query)
    vector = model.encode([query], side="query" if "query" in model.sides else None)
    if not vector.any():
        raise UsageError(f"the model knows no word of {query!r}", where="QUERY", remedy="ask with other words")
    hits = index.search(vector, args.k, model=model.fingerprint)
    found = [(float(s), index.row(i)) for s, i in zip(hits.scores[0], hits.rows[0], strict=True)]
    if args.json:
        print_json([{"score": round(score, 6), **row} for score, row in found])
        return 0
    for score, row in found:
        print(hit(score, row))
    return 0


def hit(score: float, row: dict[str, Any]) -> str:
    """One found record in two lines: score and place or title, then its text."""
    place = f"{row['file']}:{row['line']}" if "file" in row and "line" in row else ""
    title = str(row.get("name") or row.get("title") or "")
    text = " ".join(str(row.get("summary") or row.get("text") or "").split())
    head = " ".join(part for part in (bold(title), place) if part)
    room = max(20, width() - 8)
    return f"{score:6.3f}  {head or text[:room]}" + (f"\n        {text[:room]}" if head else "")
