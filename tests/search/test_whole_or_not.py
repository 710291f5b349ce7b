"""A change of an index in files that dies at any moment leaves all of it or nothing: builds, additions, killed processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from failing_renames import fail_second_rename
from nearfar.core import directories
from nearfar.core.errors import DataError, ResourceError
from nearfar.search import index as index_module
from nearfar.search import vector_files
from nearfar.search.index import Index
from small_index import MODEL, content, made, rows, vectors


@pytest.mark.parametrize("point", ["append", "insert", "flush", "exchange"])
@pytest.mark.parametrize("death", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_the_old_index(tmp_path, monkeypatch, point, death):
    made(tmp_path / "index", tag="old")
    module = {"append": vector_files.VectorFiles, "insert": index_module.Table}.get(point, directories)
    original = getattr(module, point)

    def dies(*arguments):
        if point != "exchange":
            original(*arguments)
        raise death

    monkeypatch.setattr(module, point, dies)
    with pytest.raises(death):
        made(tmp_path / "index", tag="new")
    assert Index.open(tmp_path / "index").row(0)["name"] == "old 0"
    assert [p.name for p in tmp_path.iterdir()] == ["index"]
    monkeypatch.undo()
    assert made(tmp_path / "index", tag="new").row(0)["name"] == "new 0"


def test_dying_between_the_two_renames_keeps_the_old_index(tmp_path, monkeypatch):
    made(tmp_path / "index", tag="old")
    fail_second_rename(monkeypatch, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "index", tag="new")
    monkeypatch.undo()
    assert not (tmp_path / "index").exists()  # what a reader that knows nothing of `latest` would find
    assert Index.open(tmp_path / "index").row(0)["name"] == "old 0"
    with pytest.raises(DataError):
        Index.build(tmp_path / "index", vectors(), rows(3), model=MODEL)
    assert Index.open(tmp_path / "index").row(0)["name"] == "old 0"
    assert made(tmp_path / "index", tag="new").row(0)["name"] == "new 0"
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_a_failing_rename_puts_the_old_index_back(tmp_path, monkeypatch):
    made(tmp_path / "index", tag="old")
    fail_second_rename(monkeypatch, OSError(5, "Input/output error"))
    with pytest.raises(ResourceError, match="an older one is as it was"):
        made(tmp_path / "index", tag="new")
    assert (tmp_path / "index" / "index.json").exists()
    assert Index.open(tmp_path / "index").row(0)["name"] == "old 0"


def test_a_killed_process_leaves_the_old_index(tmp_path):
    made(tmp_path / "index", tag="old")
    code = f"""
        import time, numpy as np
        from nearfar.search.index import Index
        def rows():
            yield {{"name": "new 0"}}
            print("half", flush=True)
            time.sleep(600)
        Index.build({str(tmp_path / "index")!r}, np.eye(2), rows(), model="new")
    """
    source = str(Path(index_module.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": source},
    )
    with process:
        assert process.stdout.readline() == b"half\n"
        half_built = [p for p in tmp_path.iterdir() if p.name != "index"]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(half_built) == 1
    assert Index.open(tmp_path / "index", model=MODEL).row(0)["name"] == "old 0"
    # What a dead process left goes after a day, not at once: another process might be at work.
    assert made(tmp_path / "index", tag="new").row(0)["name"] == "new 0"
    assert half_built[0].exists()
    day = time.time() - 2 * 86_400
    os.utime(half_built[0], (day, day))
    made(tmp_path / "index", tag="new")
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_a_failed_transaction_leaves_the_index_as_it_was(tmp_path, monkeypatch):
    with Index.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        index.add(vectors(3), rows(3), ["a", "b", "c"])
        before = content(index)

        def dies(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(index_module.Table, "grow", dies)
        with pytest.raises(KeyboardInterrupt):
            index.add(vectors(2, seed=1), rows(2), ["a", "x"])
        monkeypatch.undo()
        assert content(index) == before
        # The vectors that were written do not count, and are written over.
        assert (tmp_path / "i" / "vectors.f32").stat().st_size == 5 * 32
        assert index.add(vectors(1, seed=2), rows(1), ["y"]) == 1
        assert (tmp_path / "i" / "vectors.f32").stat().st_size == 4 * 32
    assert len(Index.open(tmp_path / "i")) == 4


WRITER = """
import sys, numpy as np
from nearfar.search.index import Index
with Index.open(sys.argv[1], write=True) as index:
    for number in range(100_000):
        table = np.random.default_rng(number).normal(size=(5, 8)).astype("f4")
        index.add(table, [{"n": 5 * number + i} for i in range(5)], [f"{5 * number + i}" for i in range(5)])
        print(number, flush=True)
"""


def test_a_killed_writer_leaves_whole_changes_only(tmp_path):
    Index.create(tmp_path / "i", model=MODEL, dimension=8).close()
    source = str(Path(index_module.__file__).parents[2])
    for _ in range(3):
        before = len(Index.open(tmp_path / "i"))
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "i")],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": source},
        )
        with process:
            for _ in range(20 + before // 10):
                told = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            told = max([told, *map(int, process.stdout.read().split())])
        index = Index.open(tmp_path / "i")  # all checksums
        assert len(index) % 5 == 0
        assert len(index) >= 5 * (told + 1)
        assert sorted(index.row(s)["n"] for s in index.slots()) == list(range(len(index)))
        last = np.random.default_rng(told).normal(size=(5, 8)).astype("f4")
        assert [index.key(s) for s in index.nearest(last, 1).rows[:, 0]] == [str(5 * told + i) for i in range(5)]
        index.close()
