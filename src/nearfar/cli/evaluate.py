"""`nearfar evaluate`: does each query find its document, against BM25 on the same queries; or all tasks of a suite. With intervals."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_data, add_json, add_quiet, data_of, share_of
from nearfar.cli.terminal import bold, print_json

if TYPE_CHECKING:
    from nearfar.core.model import Model
    from nearfar.data.pair_table import PairTable
    from nearfar.probes.retrieval import Retrieval

EXAMPLES = """examples:
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --columns question,answer
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --against runs/pairs-2
  nearfar evaluate runs/pairs-1 --data nli=nli_test.jsonl --data qa=qa_test.jsonl       each by itself, with its prompts
  nearfar evaluate runs/pairs-1 --suite suite.toml --out results/pairs-1            all its tasks; again: goes on"""

Prompts = Mapping[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, rival."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, a run, or a folder of sentence-transformers")
    add_data(parser, required=False, several=True, pairs_only=True)
    parser.add_argument("--against", default="bm25", metavar="bm25|MODEL|none", help="what to compare with (bm25)")
    parser.add_argument(
        "--suite", metavar="FILE", help="tasks of many kinds in a .toml or .json file, instead of --data"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="of a suite: where results are kept, for another call to go on with"
    )
    parser.add_argument("--only", action="append", default=[], metavar="TASK", help="of a suite: this task; repeatable")
    parser.add_argument("--cache", metavar="DIR", help="of a suite: where vectors are kept (OUT/vectors)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of a suite: bfloat16 is quicker where the processor multiplies it natively",
    )
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, print."""
    from nearfar.core.errors import UsageError

    if (args.suite is None) == (not args.data):
        raise UsageError("what shall be measured?", where="--data / --suite", remedy="give one of --data and --suite")
    if args.suite is not None:
        return _suite(args)
    if args.out or args.only or args.cache or args.precision != "float32":
        raise UsageError(
            "--out, --only, --cache and --precision belong to a suite", where="--suite", remedy="leave them out"
        )
    return _pairs(args)


def _suite(args: argparse.Namespace) -> int:
    """All tasks of a suite; a table of their main figures."""
    from pathlib import Path

    from nearfar.evaluation.evaluate import evaluate

    found = evaluate(
        Path(args.model),
        args.suite,
        args.out,
        only=args.only,
        cache=args.cache,
        precision=args.precision,
        quiet=args.quiet or args.json,
    )
    if args.json:
        print_json(found.results)
        return 0
    _print_table(found.results["tasks"])
    if args.out:
        print(f"results {Path(args.out) / 'results.json'}")
    return 0


def _print_table(tasks: Mapping[str, Any]) -> None:
    """A line a task: its main figure with the interval."""
    from rich.console import Console
    from rich.table import Table

    from nearfar.cli.terminal import width

    table = Table(box=None, pad_edge=False)
    for name in ("task", "kind", "units", "metric", "value", "95 % interval"):
        table.add_column(name, justify="right" if name in ("units", "value") else "left", overflow="fold")
    for name, entry in tasks.items():
        figure = entry["figures"][entry["main"]]
        low, high = figure["low"], figure["high"]
        between = "" if low is None else f"\\[{low:.3f}, {high:.3f}]"  # a bracket of rich's, unless escaped
        count = f"{entry['count']:,} {entry['units']}"
        table.add_row(name, entry["kind"], count, entry["main"], f"{figure['value']:.3f}", between)
    Console(width=width(), highlight=False).print(table)


def _pairs(args: argparse.Namespace) -> int:
    """Several data sets of pairs one after the other."""
    from nearfar.data.pairs import pairs
    from nearfar.training.load import load

    data, columns = data_of(args)
    several = isinstance(data, dict)
    model = load(args.model)
    rival = load(args.against) if args.against not in ("bm25", "none") else None
    figures = {}
    for name, one in data.items() if several else [("", {"data": data})]:
        table = pairs(one["data"], one.get("columns", columns), on_bad=args.on_bad, bad_share=share_of(args))
        prompts = _prompts(model, name, one)
        ours = _retrieval(model, table, prompts)
        other = _bm25(table) if args.against == "bm25" else None
        if rival is not None:
            other = _retrieval(rival, table, _prompts(rival, name, one))
        figures[name], lines = _compared(args, table, ours, other, _seen(model, table))
        if not args.json:
            told = [f"{text!r} before every {field}" for field, text in prompts.items()]
            print("\n".join([", ".join([bold(name), *told]), *lines] if several else lines))
    if args.json:
        print_json({"model": args.model, "sets": figures} if several else figures[""])
    return 0


def _prompts(model: Model, name: str, given: Mapping[str, Any]) -> Prompts:
    """What is put before the texts of a data set: as asked for, else as it was in the model's training."""
    known = model.about.get("data", {}).get("sources", {})
    return given.get("prompts", known.get(name, {}).get("prompts", {}))


def _retrieval(model: Model, table: PairTable, prompts: Prompts) -> Retrieval:
    from nearfar.data.sources import sources
    from nearfar.training.held_out import measure

    return measure(model, sources({"": table}, prompts={"": prompts}) if prompts else table)


def _bm25(table: PairTable) -> Retrieval:
    from nearfar.probes.bm25 import Bm25
    from nearfar.probes.retrieval import retrieval
    from nearfar.training.held_out import candidates

    documents, relevant = candidates(table.queries, table.documents)
    return retrieval(Bm25().fit(documents).scorer(list(dict.fromkeys(table.queries))), relevant)


def _seen(model: Model, table: PairTable) -> bool:
    """Whether the model was trained on exactly this data set, alone or among others."""
    about = model.about.get("data", {})
    return table.fingerprint in {one.get("fingerprint") for one in (about, *about.get("sources", {}).values())}


def _compared(
    args: argparse.Namespace, table: PairTable, ours: Retrieval, other: Retrieval | None, seen: bool
) -> tuple[dict[str, Any], list[str]]:
    """Figures of the model and its rival on the same pairs: as JSON, and as lines to print."""
    from nearfar.probes.statistics import paired
    from nearfar.training.held_out import summary

    out = {"model": args.model, "data": table.source, "trained_on": seen, "documents": ours.documents, **summary(ours)}
    lines = [f"{len(ours):,} queries, {ours.documents:,} candidates", _line("this model", summary(ours))]
    if other is not None:
        name = "BM25" if args.against == "bm25" else args.against
        difference = paired(ours.reciprocal_ranks, other.reciprocal_ranks)
        sentence = difference.sentence("this model", name)
        out |= {"against": {"name": name, **summary(other)}, "verdict": difference.verdict, "sentence": sentence}
        lines += [_line(name, summary(other)), sentence]
    if seen:
        lines.append("note: the model was trained on these very pairs; use others to learn what it is worth")
    return out, lines


def _line(name: str, figures: dict[str, Any]) -> str:
    parts = [
        f"{m} {figures[m]['mean']:.3f} [{figures[m]['low']:.3f}, {figures[m]['high']:.3f}]"
        for m in ("mrr", "recall@10")
    ]
    return f"{name:<14} " + "   ".join(parts)
