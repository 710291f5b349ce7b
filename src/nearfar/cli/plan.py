"""`nearfar plan`: what fits into memory, and the micro-batch that training would take, before anything runs for hours."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from nearfar.cli.arguments import add_data, add_json, data_of, share_of
from nearfar.cli.terminal import bold, print_json, width

if TYPE_CHECKING:
    from rich.table import Table

    from nearfar.execution.plan import Plan

EXAMPLES = """examples:
  nearfar plan                                       the loss stage, for batches of 1,024 to 262,144
  nearfar plan --dimension 768 --memory 4GB
  nearfar plan pairs --data my.jsonl                 with the recipe's encoder, measured on your records
  nearfar plan runs/pairs-1 --data my.jsonl --batch 8192"""

BATCHES = tuple(2**power for power in range(10, 19))
DIMENSION = 256
UNITS = {"": 1, "B": 1} | {u + s: b ** (i + 1) for i, u in enumerate("KMGT") for s, b in (("B", 1000), ("IB", 1024))}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to plan for, and with how much."""
    parser.epilog = EXAMPLES
    parser.add_argument("what", nargs="?", metavar="RECIPE|MODEL", help="a recipe, a method's file, or a trained model")
    add_data(parser, required=False, several=True)
    parser.add_argument("--batch", type=int, metavar="N", help="records a step (the recipe's)")
    parser.add_argument("--dimension", type=int, metavar="D", help=f"of the vectors, without an encoder ({DIMENSION})")
    parser.add_argument("--memory", metavar="SIZE", help="such as 4GB or 512MiB (80 %% of what is free now)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="change a recipe's setting"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan and print."""
    from nearfar.core.errors import UsageError

    memory = None if args.memory is None else parse_size(args.memory, "--memory")
    if args.what is None:
        if args.data or args.settings:
            raise UsageError(
                "an encoder is missing: data and settings belong to one",
                where="nearfar plan",
                remedy="name a recipe or a model, such as: nearfar plan pairs --data my.jsonl",
            )
        return _loss_stage(args, memory)
    if args.dimension is not None:
        raise UsageError(
            "the encoder says how many dimensions there are",
            where="--dimension",
            remedy="leave it out, or set it in the recipe: --set encoder.dimension=N",
        )
    made = _of_encoder(args, memory)
    if args.json:
        print_json({"version": 1, "plans": [made.as_data()]})
        return 0
    title = f"{args.what}: a step of {made.batch:,} queries and {made.keys:,} keys, {made.dimension:,} dimensions"
    _print(title, _parts(made), made.why)
    return 0


def _loss_stage(args: argparse.Namespace, memory: int | None) -> int:
    from nearfar.execution.plan import plan

    batches = BATCHES if args.batch is None else (args.batch,)
    made = [plan(batch, args.dimension or DIMENSION, memory=memory) for batch in batches]
    if args.json:
        print_json({"version": 1, "plans": [p.as_data() for p in made]})
        return 0
    notes = [
        f"memory: {_readable(made[0].memory)}, {made[0].memory_source}; what does not fit says so",
        "vectors: both sides with their gradients; the other columns come on top of them, all both ways in float32",
        "InfoNCE here: also decoupled and sigmoid, on pairs; any rule: within a factor of two, in tiles of rows",
        "with an encoder: nearfar plan RECIPE --data FILE",
    ]
    title = f"The loss stage at {made[0].dimension:,} dimensions"
    _print(title, _batches(made), notes if args.batch is None else [*made[0].why, notes[-1]])
    return 0


def _of_encoder(args: argparse.Namespace, memory: int | None) -> Plan:
    """The plan of a recipe's first Fit, or of training a model further, on the user's data."""
    from dataclasses import replace

    from nearfar.core.errors import UsageError
    from nearfar.core.tree import override
    from nearfar.training.load import load
    from nearfar.training.open_data import open_data
    from nearfar.training.prepare import planned, prepare, towers_of
    from nearfar.training.train import recipe_of

    is_model = Path(args.what).is_dir()
    if is_model and args.settings:
        raise UsageError("a trained model has its settings", where="--set", remedy="plan its recipe instead")
    recipe = recipe_of("pairs" if is_model else args.what, args.settings)
    data, columns = data_of(args)
    if data is None:
        raise UsageError(
            "an encoder is measured on records, and there are none",
            where="nearfar plan",
            remedy="give data as you would train on: --data my.jsonl",
        )
    if not recipe.fits:
        raise UsageError("this recipe fits nothing", where=args.what, remedy="there is nothing to plan")
    if args.batch is not None:
        recipe = override(recipe, f"{recipe.fits[0].name}.batch_size={args.batch}")
    recipe = replace(recipe, held_out=0.0)
    records = open_data(recipe, data, columns, on_bad=args.on_bad, bad_share=share_of(args)).records
    towers, heads = ({"encoder": load(args.what).tower("document")}, {}) if is_model else towers_of(recipe, records)
    stage = recipe.fits[0]
    prepared = prepare(stage, recipe, records, towers, heads)
    prepared.learner.train()
    return planned(prepared, memory, batch=stage.batch_size)


def _batches(plans: Sequence[Plan]) -> Table:
    table = _table()
    for name in ("batch", "vectors", "InfoNCE, plain graph", "InfoNCE here", "any rule here"):
        table.add_column(name, justify="right")
    for p in plans:
        cells = [_cell(p.loss_stage[way], p.fits_as(way)) for way in ("dense", "sweep", "tiled")]
        table.add_row(f"{p.batch:,}", _cell(p.vectors, p.vectors <= p.memory), *cells)
    return table


def _parts(made: Plan) -> Table:
    table = _table()
    table.add_column("what")
    table.add_column("memory", justify="right")
    rows = {
        "weights, their gradients, Adam's moments": made.weights,
        "vectors and their gradients": made.vectors,
        "loss stage": max(made.loss_stage["sweep"], made.loss_stage["tiled"]),
        "the whole step in one piece": made.whole,
    }
    if made.micro_batch is not None:
        rows[f"the step in micro-batches of cost {made.micro_batch:,}"] = made.peak
    for name, size in rows.items():
        table.add_row(name, _cell(size, size <= made.memory))
    return table


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _cell(size: int, fits: bool) -> str:
    return _readable(size) if fits else f"[red]{_readable(size)}, too large[/red]"


def _readable(size: int) -> str:
    from nearfar.execution.plan import readable

    return readable(size)


def _print(title: str, table: Table, notes: Sequence[str]) -> None:
    from rich.console import Console

    print(bold(title))
    Console(width=width(), highlight=False).print(table)
    print("\n".join(fill(note, width(), subsequent_indent="  ") for note in notes))


def parse_size(text: str, where: str) -> int:
    """Bytes from a size as people write it: 4GB, 512MiB, 1.5 gb, 1000000."""
    from nearfar.core.errors import UsageError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found and found[2].upper() in UNITS else 0
    if size < 1:
        raise UsageError(f"{text!r} is no size", where=where, remedy="write 4GB, 512MiB or a number of bytes")
    return size
