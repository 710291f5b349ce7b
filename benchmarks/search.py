"""Recall@10 against queries a second: nearfar's index beside bare usearch and faiss, exactly and by graphs of neighbours; building; memory.

    .venv-peers/bin/python benchmarks/search.py --work DIR                 # 100,000 and 1,000,000 vectors: an hour or two on 2 cores
    .venv-peers/bin/python benchmarks/search.py --quick                    # 2,000 vectors, one round, printed and not stored
    .venv-peers/bin/python benchmarks/search.py --sizes 100000 --runs 3

Vectors of 256 numbers, drawn by a seed with clusters: one centre for every 500 vectors from a normal distribution, a vector is a centre
and normal noise of the same size, at unit length; queries are drawn as vectors are. The true 10 nearest are found by a product of
matrices. Recall@10 is the share of them that is found, the mean over queries.

    nearfar          nf.Index, as it comes: looks at every vector up to 200,000, above that a graph chooses what is scored exactly
    usearch exact    its exact search over the array
    usearch graph    its Index as ours has it: bfloat16, 16 links, 128 candidates while building
    faiss flat       IndexFlatIP
    faiss graph      IndexHNSWFlat in float32, 16 links, 128 candidates while building

Graphs are searched with several numbers of candidates, ours with the one that it has. Queries are asked one at a time, as people do, and
all in one call, as programs do; a library may use all cores for a call. Every side has a process of its own; they are built one after
the other, then run in turn, a round after the other, each round beginning with another side; a first round is not counted. Building
counts what it takes from vectors in hand to an index that answers; of ours, rows on the disk (a number each) too.

With --work vectors and finished indexes are kept, and a run that was stopped goes on with them; times are stored after every round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from measure import (
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    level_mb,
    measured,
    require_installed,
    require_linux,
    rotated,
    serve,
)

RECORD = RECORDS / "search.json"
KEY = ("vectors", "side", "candidates", "asked")
OURS = "nearfar"
K = 10
RUNS = 5
SIZES = (100_000, 1_000_000)
QUICK = (2_000,)
CANDIDATES = (32, 64, 128, 256)
LINKS, WHILE_BUILDING = 16, 128
ONE, TOGETHER = "one at a time", "in one call"

# Queries [q d] -> row numbers [q K].
Search = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class World:
    """What is searched, whatever its size."""

    dimension: int = 256
    a_centre: int = 500
    queries: int = 1_000
    single: int = 200  # of them are asked one at a time
    seed: int = 0


def drawn(world: World, size: int, count: int, seed: int) -> np.ndarray:
    """Unit vectors [count d] about the centres of a world of `size` vectors; `seed` draws others about the same centres."""
    centres = np.random.default_rng([world.seed, 0]).standard_normal((max(1, size // world.a_centre), world.dimension))
    random, made = np.random.default_rng([world.seed, seed]), np.empty((count, world.dimension), dtype=np.float32)
    for start in range(0, count, 65_536):
        part = made[start : start + 65_536]
        part[:] = centres[random.integers(0, len(centres), len(part))]
        part += random.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return made


def make_files(world: World, count: int, folder: Path) -> None:
    """vectors.npy, queries.npy, nearest.npy [q K] of one size; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "nearest.npy").exists():
        return
    vectors, queries = drawn(world, count, count, 1), drawn(world, count, world.queries, 2)
    nearest = np.empty((world.queries, K), dtype=np.int64)
    for start in range(0, world.queries, 50):
        scores = queries[start : start + 50] @ vectors.T
        nearest[start : start + 50] = np.argpartition(-scores, K - 1, axis=1)[:, :K]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "nearest.npy", nearest)


def recall(found: np.ndarray, nearest: np.ndarray) -> float:
    """The share of the true nearest rows [q K] that is among those found [q K]."""
    return float((found[:, :, None] == nearest[:, None, :]).any(1).mean())


# The sides: a folder with vectors.npy and a place to keep what is built -> a search for each number of candidates (0: it has its own)


class Side(ABC):
    """One library's way. `build` makes and keeps its index, `load` opens what was kept, `search` asks it."""

    needs = ""
    candidates: tuple[int, ...] = (0,)

    def __init__(self, folder: Path, kept: Path) -> None:
        self.folder, self.kept = folder, kept

    def vectors(self) -> np.ndarray:
        return np.load(self.folder / "vectors.npy", mmap_mode="r")

    @abstractmethod
    def build(self) -> None:
        """Make the index, keep it, and be ready to search it."""

    @abstractmethod
    def load(self) -> None:
        """Be ready to search what was kept."""

    @abstractmethod
    def search(self, candidates: int) -> Search:
        """A search that looks at so many candidates."""


class Nearfar(Side):
    """`nf.Index`."""

    def build(self) -> None:
        from nearfar.search.index import Index

        vectors = self.vectors()
        Index.build(self.kept, vectors, ({"number": n} for n in range(len(vectors))), model="none").close()
        self.load()

    def load(self) -> None:
        from nearfar.search.index import Index

        self.index = Index.open(self.kept, verify=False)

    def search(self, candidates: int) -> Search:
        return lambda queries: self.index.nearest(queries, K).rows


class UsearchExact(Side):
    """No index: the array."""

    needs = "usearch"

    def build(self) -> None:
        self.load()

    def load(self) -> None:
        self.held = np.array(self.vectors())

    def search(self, candidates: int) -> Search:
        from usearch.index import MetricKind, search

        return lambda queries: np.asarray(search(self.held, queries, K, MetricKind.IP, exact=True).keys).reshape(-1, K)


class UsearchGraph(Side):
    """With the settings of ours."""

    needs, candidates = "usearch", CANDIDATES

    def build(self) -> None:
        vectors = self.vectors()
        self.index = self._empty(vectors.shape[1])
        for start in range(0, len(vectors), 65_536):
            part = np.array(vectors[start : start + 65_536])
            self.index.add(np.arange(start, start + len(part), dtype=np.uint64), part, copy=True)
        self.index.save(str(self.kept))

    def load(self) -> None:
        self.index = self._empty(self.vectors().shape[1])
        self.index.load(str(self.kept))

    def search(self, candidates: int) -> Search:
        def search(queries: np.ndarray) -> np.ndarray:
            self.index.expansion_search = candidates
            return np.asarray(self.index.search(queries, K).keys).astype(np.int64).reshape(-1, K)

        return search

    @staticmethod
    def _empty(dimension: int) -> Any:
        from usearch.index import Index

        return Index(ndim=dimension, metric="cos", dtype="bf16", connectivity=LINKS, expansion_add=WHILE_BUILDING)


class FaissFlat(Side):
    """Every vector, in float32."""

    needs = "faiss"

    def build(self) -> None:
        self.load()

    def load(self) -> None:
        import faiss

        vectors = self.vectors()
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        for start in range(0, len(vectors), 65_536):
            self.index.add(np.array(vectors[start : start + 65_536]))

    def search(self, candidates: int) -> Search:
        return lambda queries: self.index.search(queries, K)[1]


class FaissGraph(Side):
    """HNSW over float32."""

    needs, candidates = "faiss", CANDIDATES

    def build(self) -> None:
        import faiss

        vectors = self.vectors()
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = WHILE_BUILDING
        for start in range(0, len(vectors), 65_536):
            self.index.add(np.array(vectors[start : start + 65_536]))
        faiss.write_index(self.index, str(self.kept))

    def load(self) -> None:
        import faiss

        self.index = faiss.read_index(str(self.kept))

    def search(self, candidates: int) -> Search:
        def search(queries: np.ndarray) -> np.ndarray:
            self.index.hnsw.efSearch = candidates
            return self.index.search(queries, K)[1]

        return search


SIDES: dict[str, type[Side]] = {
    OURS: Nearfar,
    "usearch exact": UsearchExact,
    "usearch graph": UsearchGraph,
    "faiss flat": FaissFlat,
    "faiss graph": FaissGraph,
}


class Bench:
    """One side's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.side: Side | None = None
        self.queries = self.nearest = np.empty((0, 0))

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: an index, built or as it was kept. search: all queries once."""
        folder = Path(message["folder"])
        if message["do"] == "prepare":
            return self.prepare(folder)
        if self.side is None:
            raise RuntimeError("nothing is prepared")
        search, one = self.side.search(message["candidates"]), message["asked"] == ONE
        queries = self.queries[: message["single"]] if one else self.queries
        found: list[np.ndarray] = []

        def call() -> float:
            parts = [queries[i : i + 1] for i in range(len(queries))] if one else [queries]
            found.extend(search(part) for part in parts)
            return 0.0

        taken = measured(call)
        right = recall(np.concatenate(found).astype(np.int64), self.nearest[: len(queries)])
        return {"seconds": taken["seconds"], "queries": len(queries), "recall": right}

    def prepare(self, folder: Path) -> dict[str, Any]:
        """Seconds of building and its memory are kept beside the index, for when it is only loaded."""
        place = folder / self.name.replace(" ", "-")
        facts, kept = place.with_suffix(".json"), place.with_suffix(".built")
        self.side, level = SIDES[self.name](folder, kept), level_mb()
        self.queries, self.nearest = np.load(folder / "queries.npy"), np.load(folder / "nearest.npy")
        if facts.exists():
            self.side.load()
            return json.loads(facts.read_text("utf-8"))
        side = self.side

        def build() -> float:
            side.build()
            return 0.0

        taken = measured(build)
        made = {
            "build_seconds": taken["seconds"],
            "build_mb": taken["peak_mb"] - level,
            "held_mb": max(0.0, level_mb() - level),
            "disk_mb": _size_mb(kept),
        }
        facts.write_text(json.dumps(made), "utf-8")
        return made


def _size_mb(path: Path) -> float:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path] if path.is_file() else []
    return sum(p.stat().st_size for p in files) / 2**20


# The parent


def run_size(
    record: Record, world: World, count: int, runs: int, folder: Path, sides: Sequence[str] = tuple(SIDES)
) -> None:
    """The sides and settings in turn, as many rounds as are missing; stored after each."""
    points = [
        (side, c, asked)
        for side, kind in SIDES.items()
        if _installed(kind) and side in sides
        for c in kind.candidates
        for asked in (ONE, TOGETHER)
    ]
    done = min(_done(record, count, point) for point in points)
    if done >= runs:
        return
    make_files(world, count, folder)
    workers: dict[str, Worker] = {}
    try:
        facts: dict[str, dict[str, Any]] = {}
        for side in dict.fromkeys(side for side, _, _ in points):
            workers[side] = Worker(Path(__file__), side)
            facts[side] = answered(side, workers[side].ask(do="prepare", folder=str(folder)))
            say(f"{side}: built in {facts[side]['build_seconds']:.1f} s, {facts[side]['held_mb']:,.0f} MB")
        for number in range(-1, runs - done):
            rows = []
            for side, candidates, asked in rotated(points, (number + 1) * (len(points) // 3 + 1)):
                message = {"do": "search", "folder": str(folder), "candidates": candidates, "asked": asked}
                answer = answered(side, workers[side].ask(**message, single=world.single))
                before = record.find(vectors=count, side=side, candidates=candidates, asked=asked) or {"seconds": []}
                told = {"vectors": count, "side": side, "candidates": candidates, "asked": asked, **facts[side]}
                rows.append({**told, **answer, "seconds": [*before["seconds"], answer["seconds"]][:runs]})
            if number >= 0:
                record.add(rows)
                say(f"{count:,} vectors, round {done + number + 1} of {runs}")
    finally:
        for worker in workers.values():
            worker.close()


def _installed(kind: type[Side]) -> bool:
    return not kind.needs or find_spec(kind.needs) is not None


def _done(record: Record, count: int, point: tuple[str, int, str]) -> int:
    side, candidates, asked = point
    row = record.find(vectors=count, side=side, candidates=candidates, asked=asked)
    return 0 if row is None else len(row["seconds"])


def rate(row: dict[str, Any]) -> float:
    """Queries a second: the median over rounds."""
    return row["queries"] / statistics.median(row["seconds"])


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All rows as text, a size after the other."""
    order = sorted(rows, key=lambda r: (r["vectors"], r["asked"], list(SIDES).index(r["side"]), r["candidates"]))
    return [
        f"  {r['vectors']:>9,} {r['asked']:<13} {r['side']:<14} {r['candidates'] or '':>4}  recall {r['recall']:.4f}  "
        f"{rate(r):9,.0f} a second   built {r['build_seconds']:7.1f} s  {r['held_mb']:7,.0f} MB"
        for r in order
    ]


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(
        __doc__ or "", RECORD, quick="2,000 vectors, one round", runs=f"rounds ({RUNS})", workers=list(SIDES)
    )
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of vectors ({', '.join(map(str, SIZES))})")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES), help="some of them (all)")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where vectors and indexes are kept (nowhere: a folder that goes)"
    )
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    if not args.quick:
        require_installed(("usearch", "faiss"))
    packages = {"usearch": "usearch", "faiss": "faiss-cpu"}
    versions = {name: version(package) for name, package in packages.items() if find_spec(name) is not None}
    world, started = World(), time.perf_counter()
    settings = {**asdict(world), "k": K, "links": LINKS, "while_building": WHILE_BUILDING, "versions": versions}
    record = Record(args.out or (None if args.quick else RECORD), "search", KEY, settings, fresh=args.fresh)
    work = args.work or Path(tempfile.mkdtemp(prefix="nearfar-search-"))
    try:
        for count in args.sizes or (QUICK if args.quick else SIZES):
            run_size(record, world, count, args.runs or (1 if args.quick else RUNS), work / str(count), args.sides)
    finally:
        if args.work is None:
            shutil.rmtree(work, ignore_errors=True)
    say("\n".join([*lines(record.rows), f"{time.perf_counter() - started:.0f} s"]))


if __name__ == "__main__":
    main()
