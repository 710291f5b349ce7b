"""Pairs (what a function is said to do, how it does it), harvested from the Python packages on this machine.

Every documented function is a pair that somebody made for free: the first paragraph of its docstring is the query, its
source without the docstring the document. Code is read and parsed, never imported or run.

Copies are removed before anything is split, because packages vendor one another: a held-out function whose twin was
trained on would measure memory. The split is by whole packages for the same reason.

Imports nothing but the standard library and numpy, so that worker processes start in a tenth of a second.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import sysconfig
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.data.near_duplicates import first_of_each, signature
from nearfar.data.python_functions import Unreadable, read_functions

# Tests hold copies of what they test and docstrings nobody searches with; the rest is not source of the package.
LEFT_OUT = frozenset({"test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages", "node_modules"})
VENDORED = frozenset({"_vendor", "vendor", "_vendored", "vendored", "extern", "externals", "_distutils"})
CHUNK = 32  # files a worker takes at once
SLACK = 1.5  # the held-out part may be this many times larger than asked for: packages are not cut


@dataclass(frozen=True)
class CodePair:
    """One function: `query` its docstring's first paragraph, `code` its source without it; `file`, `line` say where."""

    query: str
    code: str
    package: str
    file: str
    line: int
    name: str


@dataclass(frozen=True)
class Skipped:
    """A file that gave no pairs because it could not be read or parsed, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Harvest:
    """All pairs in a fixed order, the number of files read, the files skipped, the number of copies removed."""

    pairs: list[CodePair]
    files: int
    skipped: list[Skipped]
    duplicates: int


@dataclass(frozen=True)
class _Source:
    path: str
    relative: str  # from the root on, with /: the same wherever the packages are installed
    package: str


Found = tuple[list[CodePair], list[np.ndarray], list[Skipped]]


def harvest(
    roots: Sequence[Path] | None = None,
    *,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Harvest:
    """All (docstring, source) pairs below `roots`, copies removed; the same for any number of workers.

    roots     folders whose entries are packages or modules; None = the standard library and the installed packages
    workers   processes; None = one a core. 1 = no other process is started
    limit     read files in a fixed shuffled order and stop once this many pairs (copies included) are found
    progress  called with (files done, files in all)

    Raises `UsageError` for a root that is no folder. Files that cannot be read are reported in `skipped`.
    """
    sources = list(_sources([Path(root) for root in roots] if roots is not None else default_roots()))
    if limit is not None:
        sources.sort(key=lambda s: _digest(s.relative))
    pairs, signatures, skipped = [], [], []
    files = 0
    chunks = [sources[i : i + CHUNK] for i in range(0, len(sources), CHUNK)]
    results = _in_order(chunks, workers or _cores())
    for chunk, found in zip(chunks, results, strict=False):
        pairs += found[0]
        signatures += found[1]
        skipped += found[2]
        files += len(chunk)
        if progress is not None:
            progress(files, len(sources))
        if limit is not None and len(pairs) >= limit:
            results.close()
            pairs, signatures = pairs[:limit], signatures[:limit]
            break
    kept = _without_copies(pairs, signatures)
    return Harvest(kept, files, skipped, len(pairs) - len(kept))


def split(pairs: Sequence[CodePair], *, held_out: int = 2_000, seed: int = 0) -> tuple[list[CodePair], list[CodePair]]:
    """Training pairs and held-out pairs: whole packages in an order drawn by `seed`, until `held_out` are reached.

    A package that would overshoot by half is passed over, so the held-out part has `held_out` to 1.5 times as many
    pairs from several packages. A function of seed and package names and sizes, not of the order of the pairs.
    Raises `DataError` if that is impossible or would leave less to train on than to measure with.
    """
    sizes = Counter(pair.package for pair in pairs)
    order = sorted(sizes, key=lambda name: _digest(f"{seed}:{name}"))
    chosen: set[str] = set()
    total = 0
    for name in order:
        if total >= held_out:
            break
        if total + sizes[name] <= SLACK * held_out:
            chosen.add(name)
            total += sizes[name]
    if held_out < 1 or total < held_out or len(pairs) - total < total:
        raise DataError(
            f"{len(pairs):,} pairs from {len(sizes)} packages are too few to hold out {held_out:,} by whole packages",
            remedy="install more packages, name more folders, or hold out fewer pairs",
        )
    train = [pair for pair in pairs if pair.package not in chosen]
    return train, [pair for pair in pairs if pair.package in chosen]


def default_roots() -> list[Path]:
    """The standard library and the site-packages folders of the running interpreter, in this order, each once."""
    paths = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    return [path for path in dict.fromkeys(path.resolve() for path in paths) if path.is_dir()]


def _sources(roots: Sequence[Path]) -> Iterator[_Source]:
    """Python files below the roots, by root and path, vendored copies last: of two twins the original is kept."""
    seen: set[str] = set()
    late = []
    for root in roots:
        if not root.is_dir():
            raise UsageError("this root is not a folder", where=str(root), remedy="give folders that hold packages")
        for parts in sorted(_walk(root)):
            path = os.path.join(root, *parts)
            if (real := os.path.realpath(path)) in seen:
                continue
            seen.add(real)
            source = _Source(path, "/".join(parts), parts[0].removesuffix(".py"))
            if VENDORED.isdisjoint(parts):
                yield source
            else:
                late.append(source)
    yield from late


def _walk(root: Path) -> Iterator[tuple[str, ...]]:
    """Relative paths of Python files as tuples, so that sorting does not depend on the separator."""
    for folder, folders, files in os.walk(root):  # does not follow links to folders: no cycles
        folders[:] = [f for f in folders if f not in LEFT_OUT and not f.startswith(".")]
        relative = Path(folder).relative_to(root).parts
        for file in files:
            if file.endswith(".py") and not _is_test(file) and os.path.isfile(os.path.join(folder, file)):
                yield (*relative, file)


def _is_test(file: str) -> bool:
    return file == "conftest.py" or file.startswith("test_") or file.endswith("_test.py")


def _digest(text: str) -> bytes:
    """A fixed random-looking key to sort by; file names may hold bytes that are no text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _in_order(chunks: list[list[_Source]], workers: int) -> Generator[Found, None, None]:
    """Results of `_read_chunk` in the order of the chunks, from processes or from this one.

    Processes are spawned, not forked: the parent may hold threads of torch. If they cannot start (a script without
    an `if __name__ == "__main__"` guard, an interpreter reading from a pipe), the work goes on here.
    """
    done = 0
    if workers > 1 and len(chunks) > 1:
        pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn"))
        try:
            for found in pool.map(_read_chunk, chunks):
                yield found
                done += 1
        except (BrokenProcessPool, OSError):
            pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for chunk in islice(chunks, done, None):
        yield _read_chunk(chunk)


def _read_chunk(chunk: list[_Source]) -> Found:
    """Pairs, their signatures and the skipped files of some files. Runs in a worker: must not import torch."""
    pairs, signatures, skipped = [], [], []
    collecting = gc.isenabled()
    gc.disable()  # syntax trees are millions of small objects without cycles
    try:
        for source in chunk:
            try:
                functions = read_functions(Path(source.path))
            except Unreadable as reason:
                skipped.append(Skipped(source.path, str(reason)))
                continue
            for f in functions:
                pairs.append(CodePair(f.query, f.code, source.package, source.path, f.line, f.name))
                signatures.append(signature(f.code))
    finally:
        if collecting:
            gc.enable()
    return pairs, signatures, skipped


def _without_copies(pairs: list[CodePair], signatures: list[np.ndarray]) -> list[CodePair]:
    """The first pair of each docstring (case and punctuation aside) and of each group of near-equal sources.

    Equal docstrings go because a query with two right answers has no rank; near-equal sources because a twin in
    another package would carry a held-out function into training.
    """
    queries: set[str] = set()
    fresh = []
    for index, pair in enumerate(pairs):
        words = " ".join(re.findall(r"[a-z0-9]+", pair.query.lower()))
        if words not in queries:
            queries.add(words)
            fresh.append(index)
    keep = first_of_each([signatures[i] for i in fresh])
    return [pairs[i] for i, kept in zip(fresh, keep, strict=True) if kept]


def _cores() -> int:
    """Cores this process may use: in a container fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
