"""Arguments that several verbs take, said once."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any


def add_data(
    parser: argparse.ArgumentParser, *, required: bool = True, several: bool = False, pairs_only: bool = False
) -> None:
    """--data, --columns, --on-bad, --bad-share; with `several` data sets --data and --columns may be repeated, and there is --prompt."""
    what = "pairs in a jsonl, csv, tsv or parquet file (.gz of the first three too)"
    if several:
        what += "" if pairs_only else ", or what else the recipe reads, such as a folder of images"
        what += "; repeatable, each with a name"
    parser.add_argument(
        "--data",
        required=required,
        action="append" if several else "store",
        metavar="[NAME=]FILE" if several else "FILE",
        help=what,
    )
    parser.add_argument(
        "--columns",
        action="append" if several else "store",
        metavar="[NAME=]A,B[,C...]" if several else "A,B[,C...]",
        help="query side, document side, then explicit hard negatives; found if unambiguous"
        + ("; of one data set with its name" if several else ""),
    )
    if several:
        parser.add_argument(
            "--prompt",
            dest="prompts",
            action="append",
            default=[],
            metavar="NAME.FIELD=TEXT",
            help="put before every query or document of one of several data sets; repeatable",
        )
    parser.add_argument(
        "--on-bad",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first bad record, or leave bad ones out and list them",
    )
    parser.add_argument(
        "--bad-share",
        type=float,
        default=None,
        metavar="SHARE",
        help="of all records that --on-bad skip may leave out; above it everything stops (0.01)",
    )


def share_of(args: argparse.Namespace) -> float:
    """The share of records that may be bad."""
    from nearfar.data.bad_records import BadRecords

    return BadRecords.share if args.bad_share is None else args.bad_share


def data_of(args: argparse.Namespace) -> tuple[Any, str | None]:
    """(data, columns) of `add_data(several=True)`: one path, or data sets by name with columns and prompts of their own.

    Raises UsageError for two data sets of one name, and for columns or prompts of none.
    """
    from nearfar.core.errors import UsageError

    words: list[str] = args.data or []
    if not words:
        return None, _common(args.columns or [])
    given = [_named(word) for word in words]
    if len(given) == 1 and not given[0][0] and not args.prompts:
        return given[0][1], _common(args.columns or [])
    sets: dict[str, dict[str, Any]] = {}
    for name, path in given:
        name = name or Path(path).name.split(".")[0]
        if name in sets:
            raise UsageError(
                f"two data sets are called {name!r}", where="--data", remedy=f"name them: --data a={path} --data b=..."
            )
        sets[name] = {"data": path}
    common = []
    for word in args.columns or []:
        name, _, chosen = word.partition("=")
        if name in sets and chosen:
            sets[name]["columns"] = chosen
        else:
            common.append(word)
    for word in args.prompts:
        place, equals, text = word.partition("=")
        name, dot, field = place.rpartition(".")
        if not equals or not dot or name not in sets:
            raise UsageError(
                f"{word!r} is no prompt of a data set" if name in sets or not dot else f"there is no data set {name!r}",
                where="--prompt",
                remedy=f'write --prompt "{next(iter(sets))}.query=question: "; there are {", ".join(sets)}',
            )
        sets[name].setdefault("prompts", {})[field] = text
    return sets, _common(common)


def _named(word: str) -> tuple[str, str]:
    """(name or nothing, path); a file whose name holds an equals sign is a file."""
    name, equals, path = word.partition("=")
    if equals and re.fullmatch(r"[\w.-]+", name) and not Path(word).exists():
        return name, path
    return "", word


def _common(words: list[str]) -> str | None:
    from nearfar.core.errors import UsageError

    if len(words) > 1:
        raise UsageError(
            f"columns are given twice: {words[0]} and {words[1]}",
            where="--columns",
            remedy="say whose they are: --columns NAME=A,B, with the name of a data set",
        )
    return words[0] if words else None


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress")
