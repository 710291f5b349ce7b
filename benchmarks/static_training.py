"""How fast the static encoder learns: whole trainings by the recipe `pairs`, with the pairs in hand and read from disk.

    .venv/bin/python benchmarks/static_training.py            # about 5 minutes on 2 cores; goes on where a run was stopped
    .venv/bin/python benchmarks/static_training.py --quick    # 1,500 pairs, one round, printed and not stored

Real (docstring, function) pairs of the installed packages. What is timed, from pairs to weights:

    vocabulary   the units of all texts are counted and chosen: the encoder is made
    preparing    texts in hand become bags of units once; those on disk are read and prepared for every step, in threads
    loop         the recipe's passes over the pairs; `waited` is the share of it in which the encoder had no records

Each case has a process of its own; they take turns, each round beginning with the other. A first training, which pays for first
calls and for memory that the machine has not given out yet, is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import RECORDS, Record, Worker, answered, command_line, require_linux, rotated, serve
from train_batches import harvested
from train_sides import fit, with_fit

RECORD = RECORDS / "static_training.json"
KEY = ("case",)
IN_HAND, FROM_DISK = "records in hand", "records from disk"
CASES, RUNS = (IN_HAND, FROM_DISK), 5


@dataclass(frozen=True)
class Sizes:
    """How much is trained on."""

    pairs: int = 40_000  # read; a fifth of them are copies of others


QUICK = Sizes(pairs=1500)


def whole_training(records: Any) -> dict[str, Any]:
    """One training: pairs that the passes went over, seconds of each part, the share of waiting."""
    from nearfar.core.parts import resolve
    from nearfar.training.prepare import towers_of

    recipe = with_fit(resolve("pairs", "recipes")(), min_steps=0)  # which are for small data
    started = time.perf_counter()
    encoder = towers_of(recipe, records)[0]["encoder"]
    made = time.perf_counter()
    fitted = fit(recipe, records, encoder)
    seconds = time.perf_counter() - made
    batch = min(recipe.stages[0].batch_size, len(records))
    return {
        "trained": fitted.steps * batch,
        "vocabulary": made - started,
        "seconds": seconds,
        "loop": fitted.seconds,
        "waited": fitted.waited,
    }


class Bench:
    """The process of one case, with its pairs."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.records: Any = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: pairs, in hand or in a file, and a training that is not counted. train: one that is."""
        if message["do"] == "prepare":
            self.prepare(message["pairs"], Path(message["folder"]))
            whole_training(self.records)
            return {"records": len(self.records)}
        return whole_training(self.records)

    def prepare(self, limit: int, folder: Path) -> None:
        """All pairs in hand, or in a file that is read record by record."""
        import nearfar as nf
        from nearfar.data.lazy import lazy_pairs

        pairs = harvested(limit)
        if self.case == IN_HAND:
            self.records = nf.pairs(pairs).records()
            return
        path = folder / "pairs.jsonl"
        lines = (json.dumps({"query": query, "document": document}) for query, document in pairs)
        path.write_text("\n".join(lines) + "\n", "utf-8")
        self.records = lazy_pairs(str(path), ["query", "document"])


# The parent


def run(record: Record, sizes: Sizes, runs: int) -> None:
    """The rounds that are not stored yet, each stored when it is done."""
    workers = {case: Worker(Path(__file__), case) for case in CASES}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for case, worker in workers.items():
                answered(case, worker.ask(do="prepare", pairs=sizes.pairs, folder=folder))
            for number in range(runs):
                for case in rotated(CASES, number):
                    if rounds(record, case) <= number:
                        add(record, case, answered(case, workers[case].ask(do="train")))
    finally:
        for worker in workers.values():
            worker.close()


def rounds(record: Record, case: str) -> int:
    """How many are stored of a case."""
    row = record.find(case=case)
    return 0 if row is None else len(row["seconds"])


def add(record: Record, case: str, made: dict[str, Any]) -> None:
    """A training more in the row of its case."""
    row = record.find(case=case) or {"case": case, "trained": made["trained"]}
    if row["trained"] != made["trained"]:
        raise SystemExit(f"{case}: the passes went over {made['trained']:,} pairs, not {row['trained']:,} as before")
    record.add([{**row, **{name: [*row.get(name, []), made[name]] for name in made if name != "trained"}}])
    print(line(record.find(case=case) or row), file=sys.stderr, flush=True)


def line(row: dict[str, Any]) -> str:
    """A row as text, by medians."""
    whole, parts, loop = (
        row["trained"] / statistics.median(times) for times in (everything(row), row["seconds"], row["loop"])
    )
    return (
        f"  {row['case']:<18} {whole:8,.0f} pairs/s with the vocabulary, {parts:8,.0f} without, the loop alone {loop:8,.0f}, "
        f"waiting {statistics.median(row['waited']):.1%}, {len(row['seconds'])} rounds"
    )


def everything(row: dict[str, Any]) -> list[float]:
    """Seconds from pairs to weights."""
    return [a + b for a, b in zip(row["vocabulary"], row["seconds"], strict=True)]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__ or "", RECORD, quick="few pairs, one round", runs=f"rounds ({RUNS})", workers=CASES)
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    sizes, runs = (QUICK, args.runs or 1) if args.quick else (Sizes(), args.runs or RUNS)
    path = args.out or (None if args.quick else RECORD)
    record = Record(path, "static training", KEY, asdict(sizes), fresh=args.fresh)
    if min(rounds(record, case) for case in CASES) < runs:
        run(record, sizes, runs)


if __name__ == "__main__":
    main()
