"""`nearfar evaluate`: does each query find its document? With intervals, and against BM25 on the same queries."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_data, add_json, data_of, share_of
from nearfar.cli.terminal import bold, print_json

if TYPE_CHECKING:
    from nearfar.core.model import Model
    from nearfar.data.pair_table import PairTable
    from nearfar.probes.retrieval import Retrieval

EXAMPLES = """examples:
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --columns question,answer
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --against runs/pairs-2
  nearfar evaluate runs/pairs-1 --data nli=nli_test.jsonl --data qa=qa_test.jsonl       each by itself, with its prompts"""

Prompts = Mapping[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, rival."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, a run, or a folder of sentence-transformers")
    add_data(parser, several=True, pairs_only=True)
    parser.add_argument("--against", default="bm25", metavar="bm25|MODEL|none", help="what to compare with (bm25)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, print; several data sets one after the other."""
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
