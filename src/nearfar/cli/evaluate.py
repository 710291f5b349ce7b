"""`nearfar evaluate`: does each query find its document, against BM25 on the same queries; all tasks of a suite; or a TREC run.

With intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
  nearfar evaluate runs/pairs-1 --suite suite.toml --out results/pairs-1            all its tasks; again: goes on
  nearfar evaluate --run my.run --qrels my.qrels                                    rankings of any system, in TREC's form"""
AT = (1, 10, 100)  # ranks k of metrics of a TREC run

Prompts = Mapping[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, rival."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", nargs="?", help="a model directory, a run, or a folder of sentence-transformers")
    add_data(parser, required=False, several=True, pairs_only=True)
    parser.add_argument("--against", default="bm25", metavar="bm25|MODEL|none", help="what to compare with (bm25)")
    parser.add_argument(
        "--suite", metavar="FILE", help="tasks of many kinds in a .toml or .json file, instead of --data"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="of a suite or a TREC run: where results are kept, to go on with or to compare"
    )
    parser.add_argument("--only", action="append", default=[], metavar="TASK", help="of a suite: this task; repeatable")
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="FILE.py",
        help="of a suite: a kind of task of your own; repeatable",
    )
    parser.add_argument("--cache", metavar="DIR", help="of a suite: where vectors are kept (OUT/vectors)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of a suite: bfloat16 is quicker where the processor multiplies it natively",
    )
    parser.add_argument("--run", metavar="FILE", help="rankings in TREC's form, of any system, instead of a model")
    parser.add_argument("--qrels", metavar="FILE", help="judgements of a TREC run")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, print."""
    from nearfar.core.errors import UsageError

    of_a_suite = args.only or args.kind or args.cache or args.precision != "float32"
    if args.run or args.qrels:
        if not (args.run and args.qrels) or args.model or args.data or args.suite or of_a_suite:
            raise UsageError(
                "rankings are measured by themselves",
                where="--run / --qrels",
                remedy="nearfar evaluate --run FILE --qrels FILE, with --out and --json if you like",
            )
        return _trec(args)
    if args.model is None:
        raise UsageError("which model?", where="MODEL", remedy="give a model, or --run and --qrels")
    if (args.suite is None) == (not args.data):
        raise UsageError("what shall be measured?", where="--data / --suite", remedy="give one of --data and --suite")
    if args.suite is not None:
        return _suite(args)
    if args.out or of_a_suite:
        raise UsageError(
            "--out, --only, --kind, --cache and --precision belong to a suite", where="--suite", remedy="leave them out"
        )
    return _pairs(args)


def _trec(args: argparse.Namespace) -> int:
    """Every metric of a run, with its interval."""
    from pathlib import Path

    from nearfar.core.files import sha256
    from nearfar.data.trec_files import read_qrels, read_run
    from nearfar.evaluation.evaluate import with_intervals
    from nearfar.probes.evaluate_run import evaluate_run
    from nearfar.probes.stored_outcomes import save_outcomes

    found = evaluate_run(read_run(args.run), read_qrels(args.qrels))
    outcome = found.outcome(at=AT)
    counts = {"queries": len(found), "unanswerable": found.unanswerable, "documents": found.documents}
    figures = with_intervals(outcome)
    if args.out:
        kept = replace(outcome, facts={**outcome.facts, "fingerprint": sha256(Path(args.qrels))})
        save_outcomes(Path(args.out), {"rankings": kept}, {"kind": "run", "run": args.run, "qrels": args.qrels})
    if args.json:
        print_json({"run": args.run, "qrels": args.qrels, **counts, "main": outcome.main, "figures": figures})
        return 0
    print(f"{len(found):,} queries, {found.unanswerable:,} more without a relevant document")
    rows = [(name, f"{figure['value']:.3f}", _between(figure)) for name, figure in figures.items()]
    _print_rows(("metric", "value", "95 % interval"), rows, right={"value"})
    if args.out:
        print(f"results {args.out}")
    return 0


def _suite(args: argparse.Namespace) -> int:
    """All tasks of a suite; a table of their main figures."""
    from pathlib import Path

    from nearfar.evaluation.evaluate import evaluate

    found = evaluate(
        Path(args.model),
        args.suite,
        args.out,
        only=args.only,
        kinds=args.kind,
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
    """A line a task or probe: its main figure with the interval, or all figures of what was measured as a whole."""
    rows = []
    for name, entry in tasks.items():
        whole = entry["units"] is None
        for metric in entry["figures"] if whole else [entry["main"]]:
            figure = entry["figures"][metric]
            count, between = (
                ("as a whole", "none") if whole else (f"{entry['count']:,} {entry['units']}", _between(figure))
            )
            rows.append((name, entry["kind"], count, metric, f"{figure['value']:.3f}", between))
    _print_rows(("task", "kind", "units", "metric", "value", "95 % interval"), rows, right={"units", "value"})


def _between(figure: Mapping[str, float | None]) -> str:
    return "" if figure["low"] is None else f"[{figure['low']:.3f}, {figure['high']:.3f}]"


def _print_rows(head: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.cli.terminal import width

    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
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
