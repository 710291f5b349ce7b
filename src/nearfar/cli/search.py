"""`nearfar search`: the records of an index that answer a question, by vector, by word, or both."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import bold, print_json, width

EXAMPLES = """examples:
  nearfar search nearfar-quickstart "parse a date from a string"
  nearfar search answers "how do I sort a list" --k 3 --json
  nearfar search answers "how do I sort a list" --where "lang=python" --where "year>=2020"
  nearfar search answers "how do I sort a list" --rerank models/larger
  nearfar search answers --like 17                             more like the record of this key
  nearfar search photos-index photos/cat/7.jpg                 images like this one"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, question, how many, which."""
    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument("query", nargs="*", help="the question, in words; of an index of images, the path of one")
    parser.add_argument("--like", metavar="KEY", help="instead of a question: a record, and what is near to it")
    parser.add_argument("--k", type=int, default=5, help="how many records (5)")
    parser.add_argument(
        "--mode",
        choices=("hybrid", "near", "words"),
        help="near: by the model's vectors; words: by BM25; hybrid: both rankings joined (hybrid; of images near)",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FILTER",
        help='only records with "COLUMN=VALUE" (or != < <= > >= ~); repeatable',
    )
    parser.add_argument("--rerank", metavar="MODEL", help="order the best 10 k records anew by this model's scores")
    parser.add_argument("--model", metavar="DIR", help="the model that made the index, if it was moved")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Search and print."""
    from nearfar.core.errors import UsageError
    from nearfar.search.filters import parse
    from nearfar.search.opening import open_index
    from nearfar.search.rerank import reranker
    from nearfar.search.searcher import Searcher
    from nearfar.training.load import load

    if bool(args.query) == bool(args.like):
        raise UsageError("say what to search for", where="QUERY / --like", remedy="give a question, or --like KEY")
    where = [parse(text) for text in args.where]
    with open_index(args.index) as index:
        searcher = Searcher(index, load(model_of(index, args.model)))
        if args.like:
            found = searcher.like(args.like, args.k, where=where)
        else:
            mode = args.mode or ("near" if _of_images(index) else "hybrid")
            rerank = reranker(load(args.rerank)) if args.rerank else None
            found = searcher.search(" ".join(args.query), args.k, mode=mode, where=where, rerank=rerank)
    if args.json:
        print_json([as_json(hit) for hit in found])
        return 0
    for hit in found:
        print(_lines(hit))
    if not found:
        print("nothing is found; " + ("fewer filters might help" if where else "ask with other words"))
    return 0


def model_of(index: Any, given: str | None) -> Path:
    """Where the model of an index is: as given, or where the index says. DataError where it says nothing."""
    from nearfar.core.errors import DataError

    place = given or index.manifest.about.get("model")
    if not isinstance(place, str):
        raise DataError(
            "the index does not say where its model is", where=str(index.directory), remedy="give it with --model DIR"
        )
    return Path(place) if given else Path(str(index.directory), place)


def as_json(hit: Any) -> dict[str, Any]:
    """A hit for other programs: its columns, and what is known of it."""
    known = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in hit._asdict().items()
        if name not in ("row", "slot") and value is not None
    }
    return {**known, **hit.row}


def _of_images(index: Any) -> bool:
    slots = index.slots()[:1]
    return bool(len(slots)) and "image" in index.row(slots[0]) and "text" not in index.row(slots[0])


def _lines(hit: Any) -> str:
    """One found record in two lines: cosine and place or title, then its text; records found by words alone have no cosine."""
    row = hit.row
    place = f"{row['file']}:{row['line']}" if "file" in row and "line" in row else str(row.get("image") or "")
    title = str(row.get("name") or row.get("title") or "")
    text = " ".join(str(row.get("summary") or row.get("text") or "").split())
    head = " ".join(part for part in (bold(title), place) if part)
    room = max(20, width() - 8)
    score = (
        f"{hit.reranked:6.3f}" if hit.reranked is not None else " words" if hit.cosine is None else f"{hit.cosine:6.3f}"
    )
    return f"{score}  {head or text[:room]}" + (f"\n        {text[:room]}" if head and text else "")
