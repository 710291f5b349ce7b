"""A small corpus to serve: 120 texts with a name, a place and two columns, and an encoder that knows their words."""

import re
import shutil
import socket
import subprocess
import sys
import time

from conftest import ROOT
from nearfar.core.model import Model
from nearfar.encoders.static import Static
from nearfar.search.index import Index
from small_world import ANIMALS, COLOURS, world

EVIL = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'> \u2028 \U0001f98a ${1} 東"


def records():
    """(key, row) of every answer of the small world."""
    names = [(colour, animal) for colour in COLOURS for animal in ANIMALS]
    return [
        (f"{c}-{a}", {"name": f"{c} {a}", "file": f"zoo/{c}.md", "line": i, "colour": c, "house": a, "text": text})
        for i, ((c, a), (_, text)) in enumerate(zip(names, world(), strict=True), start=1)
    ]


def model(dimension=32, seed=0):
    """An encoder with drawn vectors: texts that share words are near, which is all that is asked of it here."""
    pairs = world()
    tower = Static.fit(
        {"query": [q for q, _ in pairs], "document": [a for _, a in pairs]}, dimension=dimension, seed=seed
    )
    return Model({"query": tower, "document": tower})


def built(folder, *, dimension=32, seed=0, more=()):
    """An index of the records, and of more (key, row), with its model beside it; the folder."""
    made, rows = model(dimension, seed), [*records(), *more]
    made.save(folder / "model")
    vectors = made.encode([row["text"] for _, row in rows], side="document")
    about = {"model": "../model", "side": "document"}
    keys = [key for key, _ in rows]
    Index.build(
        folder / "index", vectors, [row for _, row in rows], model=made.fingerprint, about=about, keys=keys
    ).close()
    return folder


class Process:
    """`nearfar serve` in a process of its own, on a port of its own choice."""

    def __init__(self, folder, *words, cwd):
        command = [sys.executable, "-m", "nearfar", "serve", str(folder), "--port", "0", *words]
        environment = {
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "HOME": str(cwd),
        }
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.first = self.process.stdout.readline()
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+?:(\d+)/", line)
        if found is None:
            raise AssertionError(self.first + line + self.process.communicate()[1])
        self.port, self.url = int(found[1]), f"http://127.0.0.1:{found[1]}"

    def connect(self):
        """A bare connection."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def stop(self, signal):
        """Send a signal; the exit code, and what was written to standard error."""
        self.process.send_signal(signal)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def until_closed(connection, seconds):
    """All that still comes; TimeoutError if the other side has not closed by then."""
    connection.settimeout(0.2)
    parts, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = connection.recv(65_536)
        except TimeoutError:
            continue
        except ConnectionResetError:
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)
    raise TimeoutError("the connection is still open")


def copied(folder, target):
    """A copy of a built index and its model."""
    return shutil.copytree(folder, target)
