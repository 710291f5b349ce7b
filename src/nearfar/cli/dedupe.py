"""`nearfar dedupe`: near-duplicates in an index, shown, written out, or dropped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.index_rows import shown, write_lines
from nearfar.cli.terminal import bold, print_json
from nearfar.core.progress import bar

if TYPE_CHECKING:
    from nearfar.search.dedupe import Duplicates
    from nearfar.search.living import Living

EXAMPLES = """examples:
  nearfar dedupe answers                                  show what is there more than once
  nearfar dedupe answers --threshold 0.95 --show 50
  nearfar dedupe answers --out kept.jsonl                 the rows that stay, as records
  nearfar dedupe answers --drop                           delete the others from the index

The earliest row of a group stays. Links join: where a is near b and b is near c, all three are one group."""


class Member(NamedTuple):
    """A row of a group: its key, its columns, its cosine with the row that stays, and whether it says the same to the letter."""

    key: str
    row: dict[str, Any]
    cosine: float
    same: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, threshold, what to do with what is found."""
    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument(
        "--threshold", type=float, default=0.98, metavar="COSINE", help="the least of near-duplicates (0.98)"
    )
    parser.add_argument("--show", type=int, default=5, metavar="N", help="groups to show (5)")
    parser.add_argument("--out", metavar="FILE.jsonl", help="write the rows that stay, as records")
    parser.add_argument("--pairs", metavar="FILE.jsonl", help="write every pair, with its cosine")
    parser.add_argument("--drop", action="store_true", help="delete from the index all rows but those that stay")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Find, show, write, drop."""
    from nearfar.search.index import Index
    from nearfar.search.living import Living

    with Index.open(args.index, write=args.drop) as index:
        living = Living(index)
        found, exact = _find(living, args)
        groups = [_members(living, found, group) for group in found.groups()]
        facts = _facts(living, found, groups, exact, args)
        if args.out:
            facts["written"] = args.out
            kept = (
                row
                for (_, row), stays, n in zip(living.every(), found.stays, range(len(living)), strict=True)
                if stays == n
            )
            write_lines(Path(args.out), kept)
        if args.drop:
            facts["deleted"] = index.delete([member.key for group in groups for member in group[1:]])
    if args.json:
        print_json({**facts, "groups": [_as_json(group) for group in groups]})
    else:
        _show(facts, groups, args)
    return 0


def _find(living: Living, args: argparse.Namespace) -> tuple[Duplicates, bool]:
    """What is found, and whether every pair was compared."""
    import numpy as np

    from nearfar.maths.pairs_above import Pairs
    from nearfar.search import dedupe

    exact = len(living) <= dedupe.EXACT

    def nearest(queries: np.ndarray, k: int) -> np.ndarray:
        slots = living.index.nearest(queries, k).rows
        places = np.searchsorted(living.slots, slots).clip(0, len(living) - 1)
        return np.where(living.slots[places] == slots, places, -1)

    def find(each: Any = None) -> Duplicates:
        with bar("comparing rows", quiet=args.quiet or args.json) as update:
            return dedupe.duplicates(
                living, args.threshold, nearest=None if exact else nearest, each=each, progress=update
            )

    if not args.pairs:
        return find(), exact
    parts: list[Pairs] = []
    found = find(parts.append)
    keys = [key for key, _ in living.every()]

    def lines() -> Iterator[dict[str, Any]]:
        for part in parts:
            for a, b, cosine in zip(part.a.tolist(), part.b.tolist(), part.cosines.tolist(), strict=True):
                yield {"a": keys[a], "b": keys[b], "cosine": round(cosine, 6)}

    write_lines(Path(args.pairs), lines())
    return found, exact


def _members(living: Living, found: Duplicates, group: Any) -> list[Member]:
    """The rows of a group; the first stays."""
    from nearfar.search.dedupe import ONE
    from nearfar.search.living import text_of

    made: list[Member] = []
    for (key, row), cosine in zip(living.named(group), found.cosines[group].tolist(), strict=True):
        first = made[0].row if made else row
        has_text = isinstance(row.get("text"), str) or "image" not in row
        # Of two images it is the same picture that is asked for, and the same picture has the same vector.
        same = text_of(row) == text_of(first) if has_text else cosine >= ONE
        made.append(Member(key, row, cosine, same))
    return made


def _facts(
    living: Living, found: Duplicates, groups: list[list[Member]], exact: bool, args: argparse.Namespace
) -> dict[str, Any]:
    others = [member for group in groups for member in group[1:]]
    return {
        "rows": len(living),
        "threshold": args.threshold,
        "every_pair_compared": exact,
        "pairs": found.pairs,
        "pairs_from_cosine": {str(edge): count for edge, count in found.counts.items()},
        "stay": len(living) - len(others),
        "go": len(others),
        "same_text": sum(member.same for member in others),
        "below_threshold": sum(member.cosine < min(args.threshold, 1 - 1e-6) for member in others),
    }


def _as_json(group: list[Member]) -> dict[str, Any]:
    first, *others = group
    return {
        "stays": first.key,
        "row": first.row,
        "go": [{"key": m.key, "cosine": round(m.cosine, 6), "same_text": m.same, "row": m.row} for m in others],
    }


def _show(facts: dict[str, Any], groups: list[list[Member]], args: argparse.Namespace) -> None:
    print(
        f"{facts['rows']:,} rows: {_many(len(groups), 'group')} of near-duplicates, from {_many(facts['pairs'], 'pair')} with a cosine of "
        f"{args.threshold} or more"
    )
    if not facts["every_pair_compared"]:
        print("of so many rows not every pair was compared, each row with its nearest ones only: some may be missing")
    if not groups:
        return
    print(
        f"{_many(facts['go'], 'row')} beside the earliest of each group, which stays: {facts['same_text']:,} to the letter the "
        f"same, {facts['go'] - facts['same_text']:,} nearly"
    )
    if facts["below_threshold"]:
        print(
            f"{facts['below_threshold']:,} of them are linked through others: below {args.threshold} with the one that stays"
        )
    print("\npairs by cosine")
    edges = list(facts["pairs_from_cosine"])
    for edge, until in zip(edges, [*edges[1:], "1"], strict=True):
        print(f"  {edge:>8} to {until:<6} {facts['pairs_from_cosine'][edge]:>10,}")
    for group in groups[: args.show]:
        print(f"\n{bold(f'{len(group):,} rows')}")
        for number, member in enumerate(group[:6]):
            word = "stays" if not number else " same" if member.same else f"{member.cosine:.3f}"
            print(f"  {word}  {shown(member.key, member.row, 9)}")
        if len(group) > 6:
            print(f"  ... and {len(group) - 6:,} more")
    if len(groups) > args.show:
        print(f"\n... and {len(groups) - args.show:,} more groups: --show {len(groups)}")
    print()
    if args.out:
        print(f"{facts['stay']:,} rows that stay are in {args.out}")
    if args.pairs:
        verb = "is" if facts["pairs"] == 1 else "are"
        print(f"{_many(facts['pairs'], 'pair')} {verb} in {args.pairs}")
    if args.drop:
        print(f"{_many(facts['deleted'], 'row')} deleted from the index, {facts['stay']:,} stay")
    elif not args.out:
        print("nothing was changed: --drop deletes them from the index, --out FILE.jsonl writes the rows that stay")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
