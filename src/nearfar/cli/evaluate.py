"""`nearfar evaluate`: does each query find its document? With intervals, and against BM25 on the same queries."""

from __future__ import annotations

import argparse
from typing import Any

from nearfar.cli.arguments import add_data, add_json
from nearfar.cli.terminal import print_json

EXAMPLES = """examples:
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --columns question,answer
  nearfar evaluate runs/pairs-1 --data held_out.jsonl --against runs/pairs-2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, rival."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a model directory, or a run")
    add_data(parser)
    parser.add_argument("--against", default="bm25", metavar="bm25|MODEL|none", help="what to compare with (bm25)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, print."""
    from nearfar.data.pairs import pairs
    from nearfar.probes.bm25 import Bm25
    from nearfar.probes.retrieval import retrieval
    from nearfar.probes.statistics import paired
    from nearfar.training.held_out import candidates, measure, summary
    from nearfar.training.load import load

    table = pairs(args.data, args.columns, on_bad=args.on_bad)
    model = load(args.model)
    ours = measure(model, table)
    seen = model.about.get("data", {}).get("fingerprint") == table.fingerprint
    out = {"model": args.model, "data": table.source, "trained_on": seen, "documents": ours.documents, **summary(ours)}
    lines = [_line("this model", summary(ours))]
    if args.against != "none":
        if args.against == "bm25":
            documents, relevant = candidates(table.queries, table.documents)
            rival = retrieval(Bm25().fit(documents).scorer(list(dict.fromkeys(table.queries))), relevant)
            name = "BM25"
        else:
            rival, name = measure(load(args.against), table), args.against
        difference = paired(ours.reciprocal_ranks, rival.reciprocal_ranks)
        sentence = difference.sentence("this model", name)
        out |= {"against": {"name": name, **summary(rival)}, "verdict": difference.verdict, "sentence": sentence}
        lines += [_line(name, summary(rival)), sentence]
    if args.json:
        print_json(out)
    else:
        print(f"{len(ours):,} queries, {ours.documents:,} candidates")
        print("\n".join(lines))
        if seen:
            print("note: the model was trained on these very pairs; use others to learn what it is worth")
    return 0


def _line(name: str, figures: dict[str, Any]) -> str:
    parts = [
        f"{m} {figures[m]['mean']:.3f} [{figures[m]['low']:.3f}, {figures[m]['high']:.3f}]"
        for m in ("mrr", "recall@10")
    ]
    return f"{name:<14} " + "   ".join(parts)
