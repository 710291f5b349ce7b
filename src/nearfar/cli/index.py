"""`nearfar index`: a searchable index of a file's records or a folder's images, made, gone on with, and kept up to date."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearfar.cli.arguments import add_json, add_quiet
from nearfar.cli.encodable import encodable, records_of
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

EXAMPLES = """examples:
  nearfar index runs/pairs-1 answers.jsonl --column answer --out answers
  nearfar index runs/pairs-1 answers.jsonl --column answer --key id --prune --out answers     later, with what changed
  nearfar index runs/pairs-1 big.parquet --column body --dtype int8 --dimension 128 --out big
  nearfar index runs/image_views-1 photos/ --out photos-index
  nearfar index runs/pairs-1 big.jsonl --column body --vectors shards/ --out big     what `nearfar encode --shard` has encoded
  nearfar search answers "how do I sort a list"

An index that is there already is brought up to date: what is new or changed is encoded, the rest is left as it is. So a process that
was killed is simply started again. --dev chooses how `nearfar search` joins the nearest and the words, on questions of yours."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, records, where to, and how vectors are kept."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, a run, or a folder of sentence-transformers")
    parser.add_argument("data", help="records in a jsonl, csv, tsv or parquet file, or a folder of images")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="the index: a new directory, or one to bring up to date"
    )
    parser.add_argument(
        "--backend",
        choices=("files", "lance"),
        help="what keeps a new index: files here, or LanceDB, for object stores and shared tables (files)",
    )
    parser.add_argument("--column", help="the column to encode, called text in the index; a folder has none")
    parser.add_argument(
        "--key", metavar="COLUMN", help="what names a record, each another (its number, or an image's path)"
    )
    parser.add_argument("--side", help="query or document (document, or the only one that the model has)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "int8", "bits"),
        help="of vectors on the disk: int8 is a quarter; bits searches 1/32, and scores by int8 again (float32)",
    )
    parser.add_argument(
        "--dimension", type=int, metavar="D", help="keep the first D numbers of a vector (Matryoshka models)"
    )
    parser.add_argument(
        "--vectors", metavar="DIR", help="the shards of `nearfar encode --shard` of this data, instead of encoding it"
    )
    parser.add_argument("--prune", action="store_true", help="delete records from the index that the data has no more")
    parser.add_argument("--compact", action="store_true", help="give back the room of deleted and replaced vectors")
    parser.add_argument(
        "--dev",
        metavar="FILE",
        help="questions and keys of the records that answer them, to choose how rankings are joined",
    )
    parser.add_argument("--dev-columns", default="query,key", metavar="A,B", help="their columns (query,key)")
    parser.add_argument(
        "--at-once", type=int, default=2048, metavar="N", help="records encoded at once, and lost by a kill (2048)"
    )
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Make the index, or bring it up to date."""
    from nearfar.core.errors import UsageError
    from nearfar.search.update import update
    from nearfar.training.load import load

    if args.at_once < 1:
        raise UsageError(f"--at-once {args.at_once} encodes nothing", where="--at-once", remedy="give at least 1")
    model = load(args.model)
    side = args.side or model.document_side
    model.tower(side)  # refuses a side that there is not before anything is written
    items = _items(args) if args.vectors is None else _with_vectors(args, model, side)
    with _opened(args, model, side) as index, bar("indexing", quiet=args.quiet or args.json) as told:
        total = _total(args.data)
        changes = update(
            index,
            items,
            lambda records: model.encode(list(records), side=side),
            prune=args.prune,
            at_once=args.at_once,
            progress=lambda done: told(done, max(total, done)),
        )
        made: dict[str, Any] = {"written": args.out, **vars(changes), "count": len(index), "model": model.fingerprint}
        if args.compact:
            made["compacted"] = index.compact()
        if args.dev:
            made["fusion"] = _tuned(args, index, model)
    if args.json:
        print_json(made)
        return 0
    told_of = [f"{value:,} {name}" for name, value in vars(changes).items() if value and name != "unknown"]
    print(f"{made['count']:,} records in {args.out}: {', '.join(told_of) or 'nothing to do'}")
    if changes.unknown:
        print(f"{changes.unknown:,} records are left out, since the model knows no word of them")
    if args.compact:
        print(f"{made['compacted']:,} vectors of deleted records removed")
    if args.dev:
        fusion = made["fusion"]
        print(
            f"rankings are joined with c = {fusion['c']:g}, near {fusion['near']:g}, words {fusion['words']:g}: "
            f"MRR {fusion['mrr']:.3f} on {fusion['queries']:,} dev questions (near alone {fusion['near_alone']:.3f}, "
            f"words alone {fusion['words_alone']:.3f})"
        )
    print(f'search  nearfar search {args.out} "your question"')
    return 0


def _opened(args: argparse.Namespace, model: Any, side: str) -> Any:
    """The index of `--out`, there already or new; an existing one must be of this model, side and form."""
    from nearfar.core.errors import UsageError
    from nearfar.search.lance_table import is_remote
    from nearfar.search.opening import BACKENDS, backend_of, open_index

    out, given = args.out, args.dimension or model.dimension
    if not 1 <= given <= model.dimension:
        raise UsageError(
            f"--dimension {given}, and the model gives {model.dimension}",
            where="--dimension",
            remedy="give fewer than it gives",
        )
    kind = backend_of(out)
    if kind is None:
        place = Path(args.model).resolve()
        about = {"model": str(place) if is_remote(out) else os.path.relpath(place, Path(out).resolve()), "side": side}
        new = BACKENDS[args.backend or ("lance" if is_remote(out) else "files")]
        return new.create(out, model=model.fingerprint, dimension=given, dtype=args.dtype or "float32", about=about)
    index = open_index(out, model=model.fingerprint, verify=False, write=True)
    asked = {"backend": args.backend, "dimension": args.dimension, "dtype": args.dtype, "side": args.side}
    there = {
        "backend": kind,
        "dimension": index.manifest.dimension,
        "dtype": index.manifest.dtype,
        "side": index.manifest.about.get("side"),
    }
    for name, value in asked.items():
        if value is not None and value != there[name]:
            index.close()
            raise UsageError(
                f"the index has {name} {there[name]}, not {value}",
                where=f"--{name}",
                remedy="leave it out, or make a new index",
            )
    return index


def _items(args: argparse.Namespace) -> Iterator[Any]:
    from nearfar.core.errors import DataError
    from nearfar.search.update import Item

    folder = Path(args.data).is_dir()
    for number, (where, row, item) in enumerate(encodable(args.data, args.column)):
        key: Any = item if folder else str(number)
        if args.key:
            key = row.get("text" if args.key == args.column else args.key)
            if not isinstance(key, str | int) or key == "":
                raise DataError(
                    f"record {number + 1} has no key in {args.key!r}",
                    where=where,
                    remedy=f"its columns are {sorted(row)}",
                )
        yield Item(str(key), row, item, where)


def _with_vectors(args: argparse.Namespace, model: Any, side: str) -> Iterator[Any]:
    """The records with the vectors of the shards, which are all there, whole, and of this data, model and side."""
    from nearfar.core.errors import UsageError
    from nearfar.search.merge_shards import all_shards
    from nearfar.search.shard_files import differing

    shards = all_shards(args.vectors)
    records, column = records_of(args.data, args.column)
    there = shards.first.common
    asked = {"model": model.fingerprint, "data": records.fingerprint, "column": column, "side": side}
    odd = differing(there, {**there, **asked, "total": len(records)}, "{} there, {} here")
    if odd:
        raise UsageError(
            f"these vectors are of something else: {'; '.join(odd)}",
            where="--vectors",
            remedy="encode this data anew, or leave --vectors out",
        )
    rows = shards.rows()
    return (item._replace(vector=vector) for item, vector in zip(_items(args), rows, strict=True))


def _total(data: str) -> int:
    """How many records there are, as far as that costs nothing: lines of a plain file."""
    path = Path(data)
    if path.suffix not in (".jsonl", ".csv", ".tsv") or not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _tuned(args: argparse.Namespace, index: Any, model: Any) -> dict[str, Any]:
    """Choose how rankings are joined on the questions of --dev, and remember it in the index."""
    from nearfar.core.errors import UsageError
    from nearfar.data.readers import read
    from nearfar.search.searcher import Searcher
    from nearfar.search.tune import tune_fusion

    names = [name.strip() for name in args.dev_columns.split(",")]
    if len(names) != 2:
        raise UsageError("two columns are needed", where="--dev-columns", remedy="write QUESTION,KEY")
    right: dict[str, list[str]] = {}
    for record in read(Path(args.dev), {names[0]: "text", names[1]: "any"}):
        right.setdefault(record.values[names[0]], []).append(str(record.values[names[1]]))
    choice = tune_fusion(Searcher(index, model), list(right), list(right.values()))
    fusion = {"c": choice.fusion.c, "near": choice.fusion.near, "words": choice.fusion.words}
    index.remember(fusion=fusion)
    alone = {(f.near > 0, f.words > 0): mrr for f, mrr in choice.tried}
    return {
        **fusion,
        "mrr": choice.mrr,
        "queries": len(right),
        "near_alone": alone[True, False],
        "words_alone": alone[False, True],
    }
