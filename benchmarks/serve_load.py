"""`nearfar serve` under mixed reads and writes for a minute: requests a second, p50 and p99, errors, and memory at start and end.

    .venv/bin/python benchmarks/serve_load.py                  # about 3 minutes on 2 cores, most of it to build the index
    .venv/bin/python benchmarks/serve_load.py --quick          # 2,000 records, 3 seconds, printed and not stored

100,000 records of 15 to 60 drawn words (frequencies as in language, Zipf) in an index by a static encoder of 256 numbers. The server runs
in a process of its own on this machine; 6 clients in another one ask over loopback, each the next thing as soon as it has its answer:

    type      search as you type: a query of four words, letter after letter from the third on, the last word unfinished
    filter    a whole query with a condition on a column
    batch     16 queries in one request
    explain   what made the best hit near
    write     10 records, encoded, on the disk when it is answered; every other time they are deleted again

Before them one client types alone for a sixth of the time (`type alone`). A status other than 200 is an error. Server and clients share the
cores, so that the figures are lower bounds of what either could do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import RECORDS, ROOT, Record, require_linux

RECORD = RECORDS / "serve_load.json"
KEY = ("kind",)
KINDS = ("type", "type", "filter", "batch", "explain", "write")  # one client each
WRITTEN, BATCH = 10, 16


@dataclass(frozen=True)
class Sizes:
    """How large, how long."""

    records: int = 100_000
    seconds: float = 60.0
    vocabulary: int = 30_000
    dimension: int = 256


QUICK = Sizes(records=2_000, seconds=3.0, vocabulary=2_000)


def corpus(sizes: Sizes) -> list[str]:
    """Texts of drawn words."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, random.integers(3, 10))) for _ in range(sizes.vocabulary)])
    shares = 1 / np.arange(1, sizes.vocabulary + 1)
    lengths = random.integers(15, 61, sizes.records)
    drawn = words[random.choice(sizes.vocabulary, lengths.sum(), p=shares / shares.sum())]
    return [" ".join(part) for part in np.split(drawn, lengths.cumsum()[:-1])]


def build(texts: Sequence[str], sizes: Sizes, place: Path) -> None:
    """The index and its model."""
    from nearfar.core.model import Model
    from nearfar.encoders.static import Static
    from nearfar.search.index import Index

    tower = Static.fit({"document": texts[:30_000]}, dimension=sizes.dimension)
    model = Model({"query": tower, "document": tower})
    model.save(place / "model")
    rows = (
        {"file": f"{i % 997}.txt", "line": i % 500, "kind": f"kind {i % 40}", "text": t} for i, t in enumerate(texts)
    )
    about = {"model": "../model", "side": "document"}
    vectors = model.encode(texts, side="document")
    Index.build(place / "index", vectors, rows, model=model.fingerprint, about=about).close()


class Client:
    """One connection that asks what one kind of visitor asks."""

    def __init__(self, kind: str, number: int, port: int, queries: Sequence[str]) -> None:
        self.kind, self.number, self.queries = kind, number, queries
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}

    def run(self, end: float) -> None:
        """Ask until the time is over."""
        turn: dict[str, Callable[[int], None]] = {
            "type": self._type,
            "filter": self._filter,
            "batch": self._batch,
            "explain": self._explain,
            "write": self._write,
        }
        count = self.number * 7
        while time.perf_counter() < end:
            turn[self.kind](count)
            count += 1
        self.connection.close()

    def _ask(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        data = None if body is None else json.dumps(body)
        started = time.perf_counter()
        try:
            self.connection.request(
                method,
                f"{path}?{urllib.parse.urlencode(given, doseq=True)}",
                data,
                {"content-type": "application/json"},
            )
            answer = self.connection.getresponse()
            status, content = answer.status, json.loads(answer.read())
        except OSError:
            status, content = 0, {}  # no answer
        self.seconds.append(time.perf_counter() - started)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return content

    def _query(self, count: int) -> str:
        return self.queries[count % len(self.queries)]

    def _type(self, count: int) -> None:
        query = self._query(count)
        for letters in range(3, len(query) + 1):
            self._ask("GET", "/api/search", q=query[:letters], k=20, prefix="true")

    def _filter(self, count: int) -> None:
        self._ask("GET", "/api/search", q=self._query(count), k=20, where=f"kind=kind {count % 40}")

    def _batch(self, count: int) -> None:
        self._ask("POST", "/api/search", {"queries": [self._query(count + i) for i in range(BATCH)], "k": 10})

    def _explain(self, count: int) -> None:
        hits = self._ask("GET", "/api/search", q=self._query(count), k=1).get("hits", [])
        if hits:
            self._ask("GET", "/api/explain", q=self._query(count), key=hits[0]["key"])

    def _write(self, count: int) -> None:
        keys = [f"new-{count // 2}-{i}" for i in range(WRITTEN)]
        if count % 2:
            self._ask("DELETE", "/api/rows", key=keys)
        else:
            self._ask("POST", "/api/rows", {"rows": [{"key": key, "text": self._query(count)} for key in keys]})


def memory_mb(pid: int) -> float:
    """Resident memory that is no mapped file: vectors are shared with the system's cache."""
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    (kilobytes,) = re.findall(r"RssAnon:\s+(\d+)", text)
    return int(kilobytes) / 1024


def run(record: Record, sizes: Sizes) -> None:
    """Build, serve, ask, store."""
    texts = corpus(sizes)
    random = np.random.default_rng(1)
    queries = [" ".join(random.choice(texts[i].split(), 4)) for i in random.integers(len(texts), size=400)]
    place = Path(tempfile.mkdtemp(prefix="nearfar-serve-"))
    try:
        build(texts, sizes, place)
        rows = measured(place / "index", queries, sizes)
    finally:
        shutil.rmtree(place)
    record.add(rows)
    print("\n".join(lines(rows)), file=sys.stderr)


def measured(index: Path, queries: Sequence[str], sizes: Sizes) -> list[dict[str, Any]]:
    """A row for each kind of client, and one of the server."""
    command = [sys.executable, "-m", "nearfar", "serve", str(index), "--port", "0", "--allow-writes"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        found = re.search(r":(\d+)/", server.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        clients = [Client(kind, i, int(found[1]), queries) for i, kind in enumerate(KINDS)]
        for client in clients:
            client.run(time.perf_counter() + 0.2)  # what is made once is made before
            client.seconds.clear()
            client.connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        alone, quiet = Client("type", 0, int(found[1]), queries), sizes.seconds / 6
        alone.run(time.perf_counter() + quiet)  # one who types, before the others come
        busy = os.getloadavg()[0]  # a machine that does other things besides answers later
        before, started = memory_mb(server.pid), time.perf_counter()
        threads = [threading.Thread(target=client.run, args=(started + sizes.seconds,)) for client in clients]
        for thread in threads:
            thread.start()
        half = None
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if half is None and time.perf_counter() - started > sizes.seconds / 2:
                half = memory_mb(server.pid)
        seconds, after = time.perf_counter() - started, memory_mb(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    rows = [figures(kind, [c for c in clients if c.kind == kind], seconds) for kind in dict.fromkeys(KINDS)]
    rows.insert(0, figures("type", [alone], quiet) | {"kind": "type alone"})
    whole = figures("all", clients, seconds)
    return [*rows, whole | {"memory_mb": [before, half or after, after], "load_before": busy, "exit_code": code}]


def figures(kind: str, clients: Sequence[Client], seconds: float) -> dict[str, Any]:
    """Rate, quantiles in milliseconds, errors."""
    times = np.array([second for client in clients for second in client.seconds]) * 1000
    errors = sum(n for client in clients for status, n in client.statuses.items() if status != 200)
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "kind": kind,
        "clients": len(clients),
        "requests": len(times),
        "rate": len(times) / seconds,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "errors": errors,
    }


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows as text."""
    made = [
        f"  {row['kind']:<10} {row['clients']} clients {row['requests']:7,} requests {row['rate']:7.1f}/s  "
        f"p50 {row['p50_ms']:6.1f} ms  p99 {row['p99_ms']:6.1f} ms  {row['errors']} errors"
        for row in rows
    ]
    start, half, end = rows[-1]["memory_mb"]
    return [*made, f"  memory of the server: {start:,.0f} MB at the start, {half:,.0f} half-way, {end:,.0f} at the end"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few records, 3 seconds, printed and not stored")
    parser.add_argument("--out", type=Path, help=f"the record (benchmarks/records/{RECORD.name})")
    args = parser.parse_args()
    require_linux()
    sizes = QUICK if args.quick else Sizes()
    run(Record(None if args.quick else args.out or RECORD, "serve_load", KEY, asdict(sizes), fresh=True), sizes)


if __name__ == "__main__":
    main()
