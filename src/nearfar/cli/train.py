"""`nearfar train`: a recipe by its name, or a method in the user's own file, on the user's data."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_data, add_json, add_quiet, data_of
from nearfar.cli.terminal import print_json
from nearfar.core.progress import bar

if TYPE_CHECKING:
    from nearfar.core.recipe import Recipe
    from nearfar.training.train import Trained

EXAMPLES = """examples:
  nearfar train pairs --data my.jsonl --columns question,answer
  nearfar train pairs --data my.csv --set fit.epochs=4 --set objective.temperature=0.03
  nearfar train fine_tune --data my.jsonl --set encoder.folder=all-MiniLM-L6-v2
  nearfar train fine_tune --data nli=nli.jsonl --data qa=qa.jsonl --set encoder.folder=e5-base     several data sets
  nearfar train image_views --data photos/
  nearfar train ./my_method.py --data my.jsonl
  nearfar train --resume runs/pairs-1                    go on with a run, on the data it began with
  torchrun --nproc-per-node 2 -m nearfar train pairs --data my.jsonl     several processes, one batch
  nearfar train pairs --settings            every setting of the recipe, with its value"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Recipe, data, settings, where to write."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "recipe", nargs="?", help="a recipe (`nearfar list recipes`), or a Python file that defines recipe()"
    )
    add_data(parser, required=False, several=True)
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="change a setting; repeatable"
    )
    parser.add_argument("--settings", dest="show_settings", action="store_true", help="show the settings and leave")
    parser.add_argument("--out", metavar="DIR", help="the run directory (runs/NAME-1, -2, ... unless given)")
    parser.add_argument("--seed", type=int, help="of all chance but for which records are held out (held_out_seed)")
    parser.add_argument(
        "--licence",
        "--license",
        metavar="ID",
        help="of the model, for its page, such as apache-2.0 (unknown unless given)",
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run; recipe and data are its own")
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Train, print the figures, write the report."""
    from nearfar.core.errors import UsageError
    from nearfar.training.train import recipe_of, train_run

    if args.recipe is None and args.resume is None:
        raise UsageError(
            "which recipe?", where="nearfar train", remedy="`nearfar list recipes` shows them, such as: pairs"
        )
    if args.show_settings:
        _print_settings(recipe_of(args.recipe or "pairs", args.settings, args.seed), args.json)
        return 0
    data, columns = data_of(args)
    if data is None and args.resume is None:
        raise UsageError(
            "there is no data to train on",
            where="--data",
            remedy="give what the recipe reads: a file of pairs (--data my.jsonl), a folder of images (--data photos/)",
        )
    quiet = args.quiet or args.json or os.environ.get("RANK", "0") != "0"  # the first process speaks for all
    with bar("training", quiet=quiet) as update:
        made = train_run(
            args.recipe,
            data,
            columns=columns,
            out=args.out,
            settings=args.settings,
            seed=args.seed,
            resume=args.resume,
            on_bad=args.on_bad,
            bad_share=args.bad_share,
            licence=args.licence,
            progress=lambda at: update(at.step, at.total, str(at)),
        )
    if made.fitted.interrupted:
        print(f"stopped after {made.fitted.steps} of {made.fitted.total} steps; the checkpoint is complete")
        print(f"go on with: nearfar train --resume {made.run.directory}")
        return 130
    if made.rank:
        return 0
    from nearfar.cli.run_report import write_run_report

    report = write_run_report(made)
    if args.json:
        print_json({**made.model.about, "model": str(made.run.model), "report": str(report)})
        return 0
    for note in made.notes:
        print(f"note: {note}")
    _print(made, report)
    return 0


def _print_settings(recipe: Recipe, as_json: bool) -> None:
    """Every name that --set takes, with its value in this recipe."""
    from nearfar.core.tree import leaves
    from nearfar.training.options import settings_of_parts

    settings: dict[str, Any] = {}
    parts = settings_of_parts(recipe)
    for name, value in leaves(recipe).items():
        settings[name] = _shown(value)
        prefix = name.removesuffix(".part").removesuffix("views")
        prefix += "" if prefix.endswith(".") else "."
        if name.endswith((".part", ".views")) or name in ("objective.rule", "objective.relation"):
            settings |= {k: v for k, v in parts.items() if k.startswith(prefix)}
    if as_json:
        print_json(settings)
    else:
        width = max(map(len, settings))
        text = {name: json.dumps(v) if isinstance(v, (list, tuple)) else v for name, v in settings.items()}
        print("\n".join(f"{name:<{width}}  {value}" for name, value in text.items()))


def _shown(value: Any) -> Any:
    """What is said of a setting: of parts their names, since their options are settings of their own."""
    if isinstance(value, tuple):
        return [_shown(getattr(item, "part", item)) for item in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else getattr(value, "__name__", str(value))


def _print(made: Trained, report: Path) -> None:
    from nearfar.training.progress import chance_of

    fitted = made.fitted
    steps = [e for e in made.run.logged() if "loss" in e]
    if steps:
        chance = next((chance_of(e) for e in reversed(steps) if "scored_chance" in e), None)
        level = "" if chance is None else f" (chance level {chance:.3f})"
        few = fitted.losses[-min(20, 1 + len(fitted.losses) // 10) :]  # a single step says little
        last = sum(few) / len(few)
        print(f"loss {fitted.losses[0]:.3f} -> {last:.3f}{level} in {fitted.steps} steps, {fitted.seconds:.1f} s")
    if fitted.stopped:
        print(f"stopped early: {fitted.stopped}")
    for finding in made.findings:
        print(f"doctor: {finding}")
    if made.figures:
        for name in ("mrr", "recall@10"):
            f = made.figures[name]
            print(
                f"held-out {name:<10} {f['mean']:.3f} [{f['low']:.3f}, {f['high']:.3f}]   ({made.figures['queries']:,} queries)"
            )
    else:
        print("nothing was held out (held_out=0, too few records, or all connected), so nothing was measured")
    print(f"model  {made.run.model}\nreport {report}")
