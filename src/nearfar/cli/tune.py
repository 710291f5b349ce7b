"""`nearfar tune`: try settings of a recipe on development records, and print the best ones as `--set` arguments."""

from __future__ import annotations

import argparse
import re
import shlex
from textwrap import fill
from typing import TYPE_CHECKING, Any

from nearfar.cli.arguments import add_data, add_json, add_quiet, data_of, share_of
from nearfar.cli.terminal import bold, print_json, width
from nearfar.core.progress import bar

if TYPE_CHECKING:
    from nearfar.training.tune import Trial, Tuned

EXAMPLES = """examples:
  nearfar tune pairs --data my.jsonl --space space.json --out search
  nearfar tune pairs --data my.jsonl --space space.json --out search --trials 40 --seeds 3      goes on with it
  nearfar tune ./my_method.py --data my.jsonl --space space.json --out search --budget 30m

a space names settings (`nearfar train RECIPE --settings` shows them):
  {"objective.temperature": [0.02, 0.05, 0.1], "fit.learning_rate": {"low": 1e-4, "high": 1e-2, "log": true}}"""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Recipe, data, space, how much to try, where to write."""
    parser.epilog = EXAMPLES
    parser.add_argument("recipe", help="a recipe (`nearfar list recipes`), or a Python file that defines recipe()")
    add_data(parser, several=True)
    parser.add_argument("--space", required=True, metavar="FILE", help="JSON: lists of values and ranges, by setting")
    parser.add_argument("--out", required=True, metavar="DIR", help="of the search; the same again goes on with it")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="settings beside the recipe's own (20)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each setting (1)")
    parser.add_argument("--budget", metavar="TIME", help="such as 10m or 2h, after which no training begins")
    parser.add_argument("--metric", choices=("mrr", "recall@10"), default="mrr", help="what is best (mrr)")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting that all trials share",
    )
    parser.add_argument("--seed", type=int, help="the only source of chance")
    parser.add_argument(
        "--keep-models", action="store_true", help="keep the model of every trial, not its figures alone"
    )
    add_json(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Search, print the table and what to do with it."""
    from nearfar.training.tune import tune

    data, columns = data_of(args)
    with bar("tuning", quiet=args.quiet or args.json) as update:
        made = tune(
            args.recipe,
            data,
            args.space,
            args.out,
            columns=columns,
            settings=args.settings,
            seed=args.seed,
            trials=args.trials,
            seeds=args.seeds,
            budget=None if args.budget is None else parse_duration(args.budget, "--budget"),
            metric=args.metric,
            on_bad=args.on_bad,
            bad_share=share_of(args),
            keep_models=args.keep_models,
            progress=update,
        )
    if args.json:
        print_json(as_data(made))
    elif made.trials:
        _print(made, _train_command(args, made.best))
    if made.interrupted:
        print(f"stopped with {made.pending} trainings to go; the same command goes on")
        return INTERRUPTED
    return 0


def as_data(made: Tuned) -> dict[str, Any]:
    """The search as JSON."""
    gain = made.gain
    return {
        "version": 1,
        "directory": str(made.directory),
        "metric": made.metric,
        "best": made.best.settings if made.trials else None,
        "arguments": made.best.arguments if made.trials else [],
        "gain": None
        if gain is None
        else {**gain.difference._asdict(), "verdict": gain.verdict, "p_value": gain.p_value, "records": gain.n},
        "trials": [
            {"settings": t.settings, "value": t.value, "seconds": t.seconds, "error": t.error or None}
            for t in made.trials
        ],
        "development": made.development,
        "untouched": made.untouched,
        "pending": made.pending,
    }


def _train_command(args: argparse.Namespace, best: Trial) -> str:
    shared = [word for setting in [*args.settings, *best.arguments] for word in ("--set", setting)]
    given = {"--data": args.data, "--columns": args.columns or [], "--prompt": args.prompts}
    data = [word for option, values in given.items() for value in values for word in (option, value)]
    seed = ["--seed", str(args.seed)] if args.seed is not None else []
    return shlex.join(["nearfar", "train", args.recipe, *data, *shared, *seed])


def _print(made: Tuned, command: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for trial in made.trials for name in trial.settings))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (made.metric, "seconds", *names):
        table.add_column(name, justify="right")
    for trial in made.trials:
        value = "failed" if trial.value is None else _with_interval(trial)
        cells = [_shown(trial.settings[n]) if n in trial.settings else "" for n in names]
        if not trial.settings and cells:
            cells[0] = "as in the recipe"
        table.add_row(value, f"{trial.seconds:,.0f}", *cells)
    print(bold(f"{len(made.trials)} settings on {made.development:,} development records, the best first"))
    Console(width=width(), highlight=False, markup=False).print(table)
    for trial in made.trials:
        if trial.error:
            print(fill(f"failed: {' '.join(trial.arguments)}: {trial.error}", width(), subsequent_indent="  "))
    for note in _notes(made):
        print(fill(note, width(), subsequent_indent="  "))
    if made.best.settings:
        print(f"\n{bold('best:')} {' '.join('--set ' + shlex.quote(a) for a in made.best.arguments)}\n{command}")


def _notes(made: Tuned) -> list[str]:
    notes = []
    if made.pending and not made.interrupted:
        notes.append(f"{made.pending} trainings were not begun within the budget; the same command goes on with them")
    if not made.best.settings:
        notes.append("No settings were better than the recipe's own.")
    elif made.gain is not None:
        notes.append(made.gain.sentence("Choosing like this", "the recipe as it is", unit="development records"))
    if made.untouched:
        notes.append(
            f"The {made.untouched:,} records that `nearfar train` holds out had no part in this: its figures are honest ones."
        )
    return notes


def _with_interval(trial: Trial) -> str:
    from nearfar.probes.statistics import bootstrap

    if trial.scores is None or len(trial.scores) < 2:
        return f"{trial.value:.3f}"
    interval = bootstrap(trial.scores)
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def parse_duration(text: str, where: str) -> float:
    """Seconds from a time as people write it: 90, 90s, 10m, 1.5h, 2d. Raises UsageError for anything else.

    >>> parse_duration("10m", "--budget"), parse_duration("1.5 h", "--budget")
    (600.0, 5400.0)
    """
    from nearfar.core.errors import UsageError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text.lower())
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise UsageError(f"{text!r} is no time", where=where, remedy="write 90s, 10m or 2h")
    return seconds
