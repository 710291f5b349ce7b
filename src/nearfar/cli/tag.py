"""`nearfar tag`: the rows of an index tagged with words of yours, without any training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.index_rows import add_write, refuse_column, shown, write_column, write_lines
from nearfar.cli.search import model_of
from nearfar.cli.terminal import bold, print_json, width

if TYPE_CHECKING:
    import numpy as np

    from nearfar.core.model import Model
    from nearfar.search.index import Index
    from nearfar.search.living import Living
    from nearfar.search.tag import Tag, Tagged

EXAMPLES = """examples:
  nearfar tag answers --tags "sports,politics,science"
  nearfar tag answers --tags tags.txt --least 0.3 --write topic       one tag a line, a description behind a tab
  nearfar tag answers --tags tags.txt --several --least 0.4 --out tagged.jsonl
  nearfar tag answers --tags "sports,politics" --truth label          how often it is right, where rows say so"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Index, tags, how they are asked for, what to write."""
    from nearfar.search.tag import TEMPLATE

    parser.epilog = EXAMPLES
    parser.add_argument("index", help="an index directory, or what `nearfar quickstart` wrote")
    parser.add_argument(
        "--tags",
        required=True,
        metavar="A,B,...|FILE",
        help="tags, or a file with one a line and a description behind a tab",
    )
    parser.add_argument(
        "--template", default=TEMPLATE, help=f'what is asked for; {{}} stands for the tag ("{TEMPLATE}")'
    )
    parser.add_argument("--least", type=float, metavar="COSINE", help="below it a row gets no tag (every row gets one)")
    parser.add_argument("--several", action="store_true", help="every tag that reaches --least, not the nearest alone")
    parser.add_argument("--examples", type=int, default=2, metavar="N", help="rows to show for a tag (2)")
    parser.add_argument("--truth", metavar="COLUMN", help="compare with this column of the rows")
    parser.add_argument("--out", metavar="FILE.jsonl", help="write key, tags and cosines of each row")
    parser.add_argument("--model", metavar="DIR", help="the model that made the index, if it was moved")
    add_write(parser, "the tags")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Tag, show, write."""
    from nearfar.search.index import Index
    from nearfar.search.living import Living
    from nearfar.search.tag import prompts, read_tags, tagged, temperature_of
    from nearfar.training.load import load

    tags = read_tags(args.tags)
    texts = prompts(tags, args.template)
    with Index.open(args.index, write=args.write is not None) as index:
        living, model = Living(index), load(model_of(index, args.model))
        index.check_model(model.fingerprint)
        refuse_column(args.write, (row for _, row in living.every()), args.overwrite)
        vectors = _encoded(index, model, texts)
        temperature = temperature_of(model.about)
        found = tagged(living, vectors, least=args.least, several=args.several, temperature=temperature)
        facts: dict[str, Any] = {"rows": len(living), "template": args.template, "temperature": temperature}
        facts["tags"] = _counted(living, tags, found, args.examples)
        facts["none"] = int((found.given == 0).sum())
        if args.truth:
            facts["truth"] = _judged(living, tags, found, args.truth)
        if args.out:
            write_lines(Path(args.out), _lines(living, tags, found))
        if args.write:
            write_column(living, args.write, [_joined(tags, found, row) for row in range(len(living))])
    facts |= {"column": args.write, "file": args.out}
    if args.json:
        print_json(facts)
    else:
        _show(facts, args)
    return 0


def _encoded(index: Index, model: Model, texts: list[str]) -> np.ndarray:
    """Unit vectors [t d] of what stands for the tags, as long as those of the index."""
    import numpy as np

    from nearfar.core.errors import UsageError

    sides = [side for side in ("query", *model.sides) if side in model.sides and _reads_text(model.tower(side))]
    if not sides:
        raise UsageError(
            "the model of this index reads no text", where="--tags", remedy="tag an index of a model that does"
        )
    own = index.manifest.about.get("side")
    # Of pictures and texts, the side that is not the index's own reads the tags.
    side = "query" if "query" in sides else next((s for s in sides if s != own), sides[0])
    vectors = model.encode(texts, side=side)[:, : index.manifest.dimension]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not length.all():
        text = texts[int(np.flatnonzero(length[:, 0] == 0)[0])]
        raise UsageError(
            f"the model knows no word of {text!r}", where="--tags", remedy="describe the tag with other words"
        )
    return vectors / length


def _reads_text(tower: Any) -> bool:
    """What the encoder's card says; one without a card is asked and may refuse."""
    from nearfar.core.errors import UsageError
    from nearfar.core.parts import find

    try:
        return "text" in find(type(tower).__module__.rpartition(".")[2], "encoders").card.reads
    except UsageError:
        return True


def _counted(living: Living, tags: list[Tag], found: Tagged, examples: int) -> list[dict[str, Any]]:
    """For each tag how many rows have it, and the rows that are nearest to it."""
    import numpy as np

    rows: list[list[tuple[float, int]]] = [[] for _ in tags]
    reach = int(found.given.max(initial=0))
    for place in range(reach):
        have = np.flatnonzero(found.given > place)
        for row, number, cosine in zip(
            have, found.order[have, place], found.cosines[have, place].tolist(), strict=True
        ):
            rows[number].append((-cosine, int(row)))
    made = []
    for tag, some in zip(tags, rows, strict=True):
        best = sorted(some)[:examples]
        near = zip(best, living.named([row for _, row in best]), strict=True)
        shown_rows = [_example(found, key, row, number, -minus) for (minus, number), (key, row) in near]
        made.append(
            {"tag": tag.name, "rows": len(some), "share": round(len(some) / len(living), 4), "examples": shown_rows}
        )
    return made


def _example(found: Tagged, key: str, row: dict[str, Any], number: int, cosine: float) -> dict[str, Any]:
    probability = None if found.probability is None else round(float(found.probability[number]), 4)
    return {"key": key, "cosine": round(cosine, 4), "nearest_probability": probability, "row": row}


def _judged(living: Living, tags: list[Tag], found: Tagged, column: str) -> dict[str, Any]:
    """How often the nearest tag is what a column says, on the rows where that is one of the tags."""
    from nearfar.core.errors import DataError
    from nearfar.probes.statistics import bootstrap

    names = {tag.name: number for number, tag in enumerate(tags)}
    told = [row.get(column) for _, row in living.every()]
    judged = [(row, names[str(value)]) for row, value in enumerate(told) if str(value) in names]
    if len(judged) < 2:
        some = sorted({str(value) for value in told if value is not None})[:5]
        raise DataError(
            f"{len(judged)} rows have one of the tags in {column!r}",
            where="--truth",
            remedy=f"its values are {', '.join(some)}, ..." if some else "name a column that rows have",
        )
    right = [float(found.given[row] > 0 and found.order[row, 0] == number) for row, number in judged]
    each = [number for _, number in judged]
    interval = bootstrap(right)
    return {
        "column": column,
        "rows": len(judged),
        "left_out": len(living) - len(judged),
        "accuracy": round(interval.mean, 4),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "most_frequent_alone": round(max(map(each.count, set(each))) / len(each), 4),
    }


def _joined(tags: list[Tag], found: Tagged, row: int) -> str:
    from nearfar.search.tag import NONE

    return ", ".join(tags[number].name for number in found.of(row)) or NONE


def _lines(living: Living, tags: list[Tag], found: Tagged) -> Iterator[dict[str, Any]]:
    for row, (key, _) in enumerate(living.every()):
        pairs = zip(found.of(row), found.cosines[row].tolist(), strict=False)
        line: dict[str, Any] = {"key": key, "tags": [{"tag": tags[n].name, "cosine": round(c, 6)} for n, c in pairs]}
        if found.probability is not None and found.given[row]:
            line["nearest_probability"] = round(float(found.probability[row]), 6)
        yield line


def _show(facts: dict[str, Any], args: argparse.Namespace) -> None:
    print(f"{facts['rows']:,} rows, {len(facts['tags'])} tags, asked for as {facts['template']!r}")
    longest = min(max(len(tag["tag"]) for tag in facts["tags"]), width() // 3)
    for tag in sorted(facts["tags"], key=lambda tag: -tag["rows"]):
        gap = "\n" if tag["examples"] else ""
        print(f"{gap}{bold(tag['tag'].ljust(longest))} {tag['rows']:>9,}  {tag['share']:.1%}")
        for one in tag["examples"]:
            sure = "" if one["nearest_probability"] is None or args.several else f" ({one['nearest_probability']:.0%})"
            print(f"    {one['cosine']:.3f}{sure}  {shown(one['key'], one['row'], 18)}")
    print()
    if args.least is not None:
        print(f"none of them: {facts['none']:,} rows, whose nearest tag is below {args.least}")
    if args.truth:
        truth = facts["truth"]
        low, high = truth["interval"]
        print(
            f"nearest tag right on {truth['accuracy']:.3f} [{low:.3f}, {high:.3f}] of {truth['rows']:,} rows with one of the tags "
            f"in {args.truth!r}; the most frequent alone would be on {truth['most_frequent_alone']:.3f}"
        )
    if facts["temperature"] is None:
        print("no probabilities: the model does not say with which fixed temperature it was trained")
    if args.write:
        print(f'written as the column {args.write!r}: filter with --where "{args.write}~{facts["tags"][0]["tag"]}"')
    if args.out:
        print(f"written {args.out}")
