"""Speed and memory of the loss stage: one loss and its gradient, vectors in, gradients out, ours beside other libraries.

    make bench                                                    # the peers' environment, all cases, the page
    .venv-peers/bin/python benchmarks/loss_stage.py               # all cases; goes on where a run was stopped
    .venv-peers/bin/python benchmarks/loss_stage.py --quick       # two small sizes, printed and not stored
    .venv-peers/bin/python benchmarks/loss_stage.py --sizes 4096 --peers torch nearfar --fresh --out mine.json

A case is a size, a dimension and a type of number. Every peer has a process of its own; the peers of a case run in turn, a round
each, and what counts is the median over rounds. Peers that compute the same loss must agree, or the program stops. Seconds are of
forward and backward together, on all cores of the machine; memory is the peak above imports and inputs, and includes the
gradients of the inputs. The process of `nearfar` also runs the physical limit: the matrix products alone.

A peer that would need more than 10 GB is not run, and the record says so. Cases come in order of what is learnt from them; after
`--minutes` no further one is begun, and the next run goes on there. Compare within one record: machines differ.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import RECORDS, Record, Worker, command_line, find, level_mb, measured, require_linux, rotated, serve
from peers import LIMITS, PEERS, TEMPERATURE, Peer, products

RECORD = RECORDS / "loss_stage.json"
KEY = ("peer", "size", "dimension", "dtype")
MOST_GB = 10.0
TOLERANCE = {
    "float32": 1e-3,
    "bfloat16": 0.15,
}  # bfloat16 has steps of 0.06 at 8 to 16, and most peers return the loss in it
TOO_LARGE_FOR, NOT_HERE = "needs about", "is not installed here (make bench installs it)"  # why a peer is left out
LARGE = 16384  # from here on a run takes seconds: each is timed alone and measures memory too
MEASURED_SECONDS, MOST_REPEATS = 0.3, 20  # below, a timing is the mean over repeats that last about as long


@dataclass(frozen=True)
class Case:
    """What is measured together: some peers at one size."""

    size: int
    dimension: int
    dtype: str
    peers: tuple[str, ...] = tuple(PEERS)
    runs: int = 5

    @property
    def where(self) -> dict[str, Any]:
        """Its part of the key of a row."""
        return {"size": self.size, "dimension": self.dimension, "dtype": self.dtype}

    @property
    def inputs_gb(self) -> float:
        """The vectors of both sides and their gradients."""
        return 4 * self.size * self.dimension * _item(self.dtype) / 1e9


CHUNKED = ("sentence-transformers cached", "nearfar")
SOME = ("torch", "sentence-transformers cached", "open_clip", "nearfar", "nearfar, any rule")
TWO = ("torch", "nearfar")
TWO_WAYS = tuple(name for name, peer in PEERS.items() if peer.loss == "two ways" and name not in CHUNKED[:1])
TOO_LARGE = tuple(name for name in TWO_WAYS if PEERS[name].grows > 1)  # at 65,536: they only leave a note in the record
PLAN = (
    *(Case(size, 256, "float32", runs=7) for size in (256, 1024)),
    *(Case(size, 256, "float32") for size in (4096, 16384)),
    Case(65536, 256, "float32", (*TOO_LARGE, "nearfar"), runs=1),
    *(Case(size, 256, "bfloat16") for size in (1024, 4096)),
    Case(16384, 256, "bfloat16", SOME),
    *(Case(size, 1024, dtype) for dtype in ("float32", "bfloat16") for size in (1024, 4096)),
    *(Case(16384, 1024, dtype, TWO) for dtype in ("float32", "bfloat16")),
    # About 25 minutes on 2 cores so far; the rest is for a second run.
    Case(65536, 256, "bfloat16", (*TOO_LARGE, "nearfar"), runs=1),
    Case(65536, 256, "float32", CHUNKED[:1], runs=1),
    *(Case(65536, 1024, dtype, (*TOO_LARGE, "nearfar"), runs=1) for dtype in ("bfloat16", "float32")),
)
QUICK = tuple(Case(size, 256, "float32") for size in (256, 1024))


# A worker: one peer


class Bench:
    """The state of one worker: its peer, and the calls on the inputs it has been given."""

    def __init__(self, name: str) -> None:
        self.peer: Peer = PEERS[name]
        self.calls: dict[str, Callable[[], float]] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: inputs, a warm-up on few rows -> level of memory. run: one call, or the mean over several."""
        match message["do"]:
            case "prepare":
                return self.prepare(message["size"], message["dimension"], message["dtype"])
            case "measure":
                return measured(self.calls[message["call"]])
            case _:
                call, repeats = self.calls[message["call"]], message["repeats"]
                started = time.perf_counter()
                for _ in range(repeats):
                    call()
                return {"seconds": (time.perf_counter() - started) / repeats}

    def prepare(self, size: int, dimension: int, dtype: str) -> dict[str, Any]:
        """Make and touch the inputs. Imports and first-call costs are over when the level of memory is read."""
        self.calls = {}
        for call in self._calls(32, dimension, dtype).values():
            call()
        self.calls = self._calls(size, dimension, dtype)
        return {"level_mb": level_mb()}

    def _calls(self, size: int, dimension: int, dtype: str) -> dict[str, Callable[[], float]]:
        draws = torch.Generator().manual_seed(0)
        x, y = (
            torch.randn(size, dimension, generator=draws).to(getattr(torch, dtype)).requires_grad_() for _ in range(2)
        )
        loss = self.peer.make(x, y)

        def call() -> float:
            x.grad = y.grad = None
            value = loss()
            if value.requires_grad:
                value.backward()
            assert x.grad is not None, "no gradient"
            assert y.grad is not None, "no gradient"
            return float(value.detach())

        if not self.peer.limit:
            return {"loss": call}
        return {"loss": call, "limit": products(self.peer.limit, x, y)}


# The parent: cases, rounds, records


class Measured:
    """What one peer gave in one case."""

    def __init__(self, name: str, case: Case, reason: str) -> None:
        self.name, self.peer, self.case, self.not_run = name, PEERS[name], case, reason
        self.level, self.value = 0.0, float("nan")
        self.peaks: list[float] = []
        self.seconds: dict[str, list[float]] = {"loss": []} | ({"limit": []} if self.peer.limit else {})
        self.repeats = dict.fromkeys(self.seconds, 1)

    def ask(self, worker: Worker, **message: Any) -> dict[str, Any]:
        """An answer; one that is an error ends this peer's part in the case."""
        return self.hear(worker.ask(**message))

    def hear(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer that was asked for before."""
        self.not_run = self.not_run or answer.get("error", "")
        self.level = answer.get("level_mb", self.level)
        return answer

    def measure(self, worker: Worker, call: str) -> float:
        """One call by itself, with its peak of memory; its seconds."""
        answer = self.ask(worker, do="measure", call=call)
        if call == "loss" and "peak_mb" in answer:
            self.peaks.append(answer["peak_mb"])
            self.value = answer["value"]
        return answer.get("seconds", float("nan"))

    def warm(self, worker: Worker) -> None:
        """Small sizes: a first call for memory, which says how many a timing needs to last long enough."""
        for call in self.seconds:
            seconds = self.measure(worker, call)
            self.repeats[call] = max(1, min(MOST_REPEATS, int(MEASURED_SECONDS / seconds))) if seconds > 0 else 1

    def run(self, worker: Worker) -> None:
        """One round: the loss, and the limit right after it."""
        for call, seconds in self.seconds.items():
            if self.not_run:
                return
            if self.case.size >= LARGE:
                seconds.append(self.measure(worker, call))
            else:
                answer = self.ask(worker, do="time", call=call, repeats=self.repeats[call])
                seconds.append(answer.get("seconds", float("nan")))

    def rows(self) -> list[dict[str, Any]]:
        """Its row, and that of its limit."""
        row = {"peer": self.name, "loss": self.peer.loss, **self.case.where}
        if self.not_run:
            return [{**row, "not_run": self.not_run}]
        extra = max(self.peaks) - self.level
        made = [{**row, "seconds": self.seconds["loss"], "extra_mb": extra, "value": self.value}]
        if self.peer.limit:
            made.append({**row, "peer": LIMITS[self.peer.limit], "seconds": self.seconds["limit"]})
        return made


def run_case(case: Case, workers: dict[str, Worker]) -> list[dict[str, Any]]:
    """The rows of one case. Each round begins with another peer."""
    each = [Measured(name, case, _reason(case, PEERS[name])) for name in case.peers]
    running = [m for m in each if not m.not_run]
    for m in running:
        # Imports take seconds: all processes begin at once, and answer in turn.
        if m.name not in workers:
            workers[m.name] = Worker(Path(__file__), m.name)
        workers[m.name].send(do="prepare", **case.where)
    for m in running:
        m.hear(workers[m.name].receive())
    if case.size < LARGE:
        for m in running:
            if not m.not_run:
                m.warm(workers[m.name])
    for number in range(case.runs):
        for m in rotated(running, number):
            m.run(workers[m.name])
    for m in running:
        if m.not_run:
            workers.pop(m.name).close()
    rows = [row for m in each for row in m.rows()]
    if found := disagreement(rows):
        raise SystemExit(found)
    return rows


def disagreement(rows: Iterable[dict[str, Any]]) -> str:
    """What is wrong if two peers that compute the same loss give different values: one is not what its name says. Else nothing."""
    rows = sorted((r for r in rows if "value" in r and PEERS[r["peer"]].agrees), key=_by_loss)
    for (loss, dtype), group in itertools.groupby(rows, key=_by_loss):
        values = {row["peer"]: row["value"] for row in group}
        # A comparison with NaN is false, so the question is whether they agree.
        if not all(abs(a - b) <= TOLERANCE[dtype] for a, b in itertools.product(values.values(), repeat=2)):
            return f"the peers of {loss!r} do not compute the same loss in {dtype}: {values}"
    return ""


def _by_loss(row: dict[str, Any]) -> tuple[str, str]:
    return row["loss"], row["dtype"]


def _reason(case: Case, peer: Peer) -> str:
    """Why a peer is not run, or nothing."""
    if peer.missing:
        return f"{peer.package} {NOT_HERE}"
    needs = peer.needs_gb(case.size, _item(case.dtype)) + case.inputs_gb
    return f"{TOO_LARGE_FOR} {needs:,.0f} GB" if needs > MOST_GB else ""


def _item(dtype: str) -> int:
    return getattr(torch, dtype).itemsize


def is_done(case: Case, record: Record) -> bool:
    """Whether every peer of the case has its row, with runs enough. Peers are compared, so a case is measured as a whole."""
    for name in case.peers:
        row = record.find(peer=name, **case.where)
        if row is None:
            return False
        left_out = bool(_reason(case, PEERS[name])) and not _failed(row)
        if len(row["seconds"]) < case.runs if "seconds" in row else not left_out:
            return False
    return True


def predicted(case: Case, record: Record) -> float:
    """Seconds that a case will take, from the same peers at a quarter of its size; 0 where that is not known."""
    seconds = 0.0
    limits = [LIMITS[PEERS[name].limit] for name in case.peers if PEERS[name].limit]
    for name in (*case.peers, *limits):
        quarter = record.find(peer=name, **{**case.where, "size": case.size // 4})
        runs_it = name in limits or not _reason(case, PEERS[name])
        if runs_it and quarter is not None and "seconds" in quarter:
            seconds += 16 * statistics.median(quarter["seconds"]) * case.runs
    return seconds


def run(cases: Sequence[Case], record: Record, minutes: float) -> list[Case]:
    """Measure cases and store each; the cases that are left when the time is up."""
    started, workers = time.monotonic(), {}
    open_cases = [case for case in cases if not is_done(case, record)]
    try:
        while open_cases:
            case = open_cases[0]
            spent = time.monotonic() - started
            # The first is always begun, or a long one would wait for ever.
            if workers and spent + predicted(case, record) > 60 * minutes:
                break
            say(f"{case.size:,} x {case.dimension} {case.dtype}, {case.runs} runs of {len(case.peers)} peers")
            rows = run_case(case, workers)
            record.add(rows)
            say("\n".join(lines(rows)))
            open_cases.pop(0)
    finally:
        for worker in workers.values():
            worker.close()
    return open_cases


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows of one case as text; ratios are to plain torch's same loss."""
    made = []
    for row in rows:
        if "not_run" in row:
            made.append(f"  {row['peer']:<30} not run: {row['not_run']}")
            continue
        seconds = statistics.median(row["seconds"])
        base = find(list(rows), loss=row["loss"], peer=BASES[row["loss"]])
        ratio = f"{seconds / statistics.median(base['seconds']):5.2f}" if base and "seconds" in base else "     "
        memory = f"{row['extra_mb']:8,.0f} MB" if "extra_mb" in row else ""
        made.append(f"  {row['peer']:<30} {seconds:9.4f} s  {ratio}  {memory}")
    return made


BASES = {"two ways": "torch", "one way": "torch, one way", "sigmoid": "torch sigmoid", "decoupled": "torch decoupled"}


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def chosen(args: argparse.Namespace) -> tuple[Case, ...]:
    """The cases asked for: the plan, the quick ones, or those of the given sizes."""
    names = tuple(args.peers or PEERS)
    if args.sizes:
        return tuple(
            Case(size, dimension, dtype, names, args.runs or 5)
            for dtype, dimension, size in itertools.product(args.dtypes, args.dimensions, sorted(args.sizes))
        )
    cases = QUICK if args.quick else PLAN
    return tuple(
        Case(c.size, c.dimension, c.dtype, kept, args.runs or c.runs)
        for c in cases
        if (kept := tuple(name for name in c.peers if name in names))
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(
        __doc__ or "",
        RECORD,
        quick="two small sizes",
        runs="runs a case, instead of the plan's 5 (1 at 65,536)",
        workers=sorted(PEERS),
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="begin no case that would end after this (25)")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of pairs, instead of the plan")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[256], help="with --sizes (256)")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=sorted(TOLERANCE), help="with --sizes")
    parser.add_argument("--peers", nargs="+", choices=sorted(PEERS), metavar="PEER", help="some of the peers")
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    path = args.out or (None if args.quick else RECORD)
    record = Record(path, "loss stage", KEY, {"temperature": TEMPERATURE}, fresh=args.fresh)
    cases = chosen(args)
    left = run(cases, record, args.minutes)
    if left:
        say(f"the time is up; {len(left)} cases are left. The same command goes on with them.")
    sizes = {(c.size, c.dimension, c.dtype, name) for c in cases for name in c.peers}
    failed = [r for r in record.rows if tuple(r[k] for k in (*KEY[1:], "peer")) in sizes and _failed(r)]
    if failed:
        raise SystemExit("\n".join(f"failed: {r['peer']} at {r['size']:,}: {r['not_run']}" for r in failed))


def _failed(row: dict[str, Any]) -> bool:
    """Whether a peer was run and broke, which is another thing than one that was left out."""
    reason = row.get("not_run", "")
    return bool(reason) and not reason.startswith(TOO_LARGE_FOR) and not reason.endswith(NOT_HERE)


if __name__ == "__main__":
    main()
