"""The index on disk: search equals brute force, every damage is named, and a change that dies costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from nearfar.core import directories
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.search import index as index_module
from nearfar.search.filters import Filter
from nearfar.search.index import Index

MODEL = "model-one"


def vectors(n=40, d=8, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def rows(n=40, tag="row"):
    return [{"name": f"{tag} {i}", "line": i} for i in range(n)]


def made(directory, n=40, seed=0, tag="row") -> Index:
    return Index.build(directory, vectors(n, seed=seed), rows(n, tag), model=MODEL)


@pytest.fixture
def index(tmp_path):
    return made(tmp_path / "index")


def brute_force(queries, table, k):
    """All cosines in float64, one at a time, rounded to float32; ties in the order of rows."""
    unit_q = (queries.astype(np.float64) / np.linalg.norm(queries.astype(np.float64), axis=1)[:, None]).astype(
        np.float32
    )
    unit_v = (table.astype(np.float64) / np.linalg.norm(table.astype(np.float64), axis=1)[:, None]).astype(np.float32)
    numbers, scores = [], []
    for q in unit_q.astype(np.float64):
        row = np.array([np.float32((v.astype(np.float64) * q).sum()) for v in unit_v])
        best = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        numbers.append(best)
        scores.append(row[best])
    return np.array(numbers), np.array(scores)


FILES = ["index.json", "rows.sqlite", "vectors.f32", "writing.lock"]


# Search.


@pytest.mark.parametrize("k", [1, 3, 40, 100])
@pytest.mark.parametrize("n", [1, 7, 300])
def test_search_equals_brute_force(tmp_path, n, k):
    table, queries = vectors(n), vectors(9, seed=1)
    index = Index.build(tmp_path / "index", table, rows(n), model=MODEL)
    hits = index.nearest(queries, k)
    numbers, scores = brute_force(queries, table, k)
    assert hits.rows.shape == hits.scores.shape == (9, min(n, k))
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32
    assert (hits.rows == numbers).all()
    np.testing.assert_allclose(hits.scores, scores, rtol=0, atol=1e-6)


def test_dot_products_instead_of_cosines_would_be_seen(tmp_path):
    table, queries = vectors(300) * np.linspace(0.1, 10, 300, dtype=np.float32)[:, None], vectors(9, seed=1)
    hits = Index.build(tmp_path / "index", table, rows(300), model=MODEL).nearest(queries, 5)
    assert (hits.rows == brute_force(queries, table, 5)[0]).all()
    assert (hits.rows != np.argsort(-queries @ table.T, axis=1)[:, :5]).any()


def duplicated(d=37):
    """Five different vectors, each many times, in mixed order."""
    base = vectors(5, d) / np.linalg.norm(vectors(5, d), axis=1)[:, None]
    return base[np.random.default_rng(2).integers(0, 5, 500)], base


@pytest.mark.parametrize("block", [(1, 1), (2, 7), (3, 64), (256, 499), (256, 16384)])
@pytest.mark.parametrize("k", [1, 4, 150, 500])
def test_ties_are_in_the_order_of_rows_whatever_the_blocks(block, k):
    table, queries = duplicated()
    numbers, scores = nearest_chunked(queries, table, k, block=block)
    for i in range(len(queries)):
        for a, b in zip(range(k), range(1, k), strict=False):
            assert (-scores[i, a], numbers[i, a]) < (-scores[i, b], numbers[i, b])
    expected = brute_force(queries, table, k)[0]
    assert (numbers == expected).all()


def test_ties_in_another_order_would_be_seen():
    table, queries = duplicated()
    backwards = len(table) - 1 - np.argsort(-(queries @ table[::-1].T), axis=1, kind="stable")[:, :50]
    assert (backwards != brute_force(queries, table, 50)[0]).any()


def test_near_ties_are_ranked_beyond_the_precision_of_the_product():
    rng = np.random.default_rng(3)
    query = rng.normal(size=(1, 256))
    table = query + 1e-2 * rng.normal(size=(3000, 256))  # cosines that differ in the last bits
    query, table = ((a / np.linalg.norm(a, axis=1)[:, None]).astype(np.float32) for a in (query, table))
    exact = np.array([(v.astype(np.float64) * query[0].astype(np.float64)).sum() for v in table]).astype(np.float32)
    expected = np.lexsort((np.arange(3000), -exact))[:20]
    numbers, scores = nearest_chunked(query, table, 20, block=(1, 128))
    assert (numbers[0] == expected).all()
    assert (scores[0] == exact[expected]).all()
    plain = np.lexsort((np.arange(3000), -(table @ query[0])))[:20]
    assert (plain != expected).any()  # what the float32 product alone would answer


def test_search_reads_memory_mapped_vectors(index):
    stored = index.view().vectors.stored
    assert isinstance(stored, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        stored[0] = 0
    np.testing.assert_allclose(np.linalg.norm(index.vectors(index.slots()), axis=1), 1, atol=1e-6)


def test_rows_are_read_by_number(tmp_path):
    content = [{"name": "ä\n\u2028", "deep": [1, {"x": None}]}, {}, {"text": "\ud800 half"}, {"n": 1.5, "yes": True}]
    index = Index.build(tmp_path / "index", vectors(4), iter(content), model=MODEL)
    assert [index.row(i) for i in (3, 0, 2, 1)] == [content[3], content[0], content[2], content[1]]
    assert len(index) == 4
    assert index.row(np.int64(1)) == {}
    for number in (-1, 4):
        with pytest.raises(UsageError, match="no row"):
            index.row(number)


def test_no_queries_give_no_hits(index):
    assert index.nearest(vectors(0), 5).rows.shape == (0, 5)


@pytest.mark.parametrize(
    ("queries", "k", "kind", "match"),
    [
        (vectors(2, 9), 5, UsageError, r"takes \[n 8\]"),
        (vectors(1)[0], 5, UsageError, r"takes \[n 8\]"),
        (np.ones((1, 8), dtype=np.int64), 5, UsageError, "floating point"),
        (vectors(1), 0, UsageError, "asks for nothing"),
        (np.zeros((1, 8)), 5, DataError, "zero"),
        (np.full((1, 8), np.nan), 5, DataError, "not finite"),
        (np.array([[1, np.inf] * 4]), 5, DataError, "not finite"),
    ],
)
def test_queries_that_cannot_be_answered(index, queries, k, kind, match):
    with pytest.raises(kind, match=match) as caught:
        index.nearest(queries, k)
    assert caught.value.remedy


def test_vectors_of_another_model_are_refused(tmp_path, index):
    assert len(Index.open(tmp_path / "index", model=MODEL)) == 40
    with pytest.raises(DataError, match="made by model model-one, not by other") as caught:
        Index.open(tmp_path / "index", model="other")
    assert "search with the model that made it" in caught.value.remedy
    with pytest.raises(DataError, match="cannot be compared"):
        index.nearest(vectors(1), 5, model="other")
    assert index.nearest(vectors(1), 5, model=MODEL).rows.shape == (1, 5)


# Building.


def test_what_is_written_is_what_is_opened(tmp_path):
    made(tmp_path / "deep" / "er" / "index")
    directory = tmp_path / "deep" / "er" / "index"
    assert sorted(p.name for p in directory.iterdir()) == FILES
    assert [p.name for p in directory.parent.iterdir()] == ["index"]
    stored = json.loads((directory / "index.json").read_text())
    assert (stored["format"], stored["version"], stored["dimension"], stored["dtype"]) == (
        "nearfar-index",
        2,
        8,
        "float32",
    )
    assert directory.stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777
    index = Index.open(directory)
    unit = vectors() / np.linalg.norm(vectors(), axis=1)[:, None]
    np.testing.assert_allclose(index.vectors(index.slots()), unit, atol=1e-6)
    assert [index.row(i) for i in range(40)] == rows()


def test_blocks_and_half_precision_do_not_matter(tmp_path, monkeypatch):
    def all_of(index):
        return index.vectors(index.slots()), index.rows(index.slots())

    whole, content = all_of(made(tmp_path / "a"))
    monkeypatch.setattr(index_module, "BLOCK", 7)
    again, same = all_of(made(tmp_path / "b"))
    assert (again == whole).all()
    assert same == content
    half, _ = all_of(Index.build(tmp_path / "c", vectors().astype(np.float16), rows(), model=MODEL))
    assert half.dtype == np.float32
    assert np.abs(half - whole).max() < 1e-3


def test_an_index_is_replaced_and_an_open_one_stays_readable(tmp_path):
    old = made(tmp_path / "index", tag="old")
    new = made(tmp_path / "index", n=5, tag="new")
    assert old.row(39)["name"] == "old 39"
    assert old.nearest(vectors(1), 1).rows.tolist() == [[0]]
    assert (len(new), new.row(0)["name"]) == (5, "new 0")
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_about_is_remembered(tmp_path):
    index = Index.build(tmp_path / "i", vectors(2), rows(2), model=MODEL, about={"corpus": "ä"})
    assert Index.open(tmp_path / "i").manifest.about == {"corpus": "ä"} == index.manifest.about


BAD_INPUT = {
    "integers": (lambda: (np.ones((3, 2), dtype=np.int64), rows(3)), UsageError, "floating point"),
    "one dimension": (lambda: (np.ones(3), rows(3)), UsageError, "floating point"),
    "nothing": (lambda: (np.ones((0, 3)), []), DataError, "nothing to index"),
    "no width": (lambda: (np.ones((3, 0)), rows(3)), DataError, "nothing to index"),
    "nan": (lambda: (np.where(np.arange(40)[:, None] == 7, np.nan, vectors()), rows()), DataError, r"\[vectors\[7\]\]"),
    "infinite": (lambda: (np.where(np.arange(40)[:, None] == 7, np.inf, vectors()), rows()), DataError, "not finite"),
    "zero": (lambda: (np.where(np.arange(40)[:, None] == 39, 0, vectors()), rows()), DataError, r"\[vectors\[39\]\]"),
    "few rows": (lambda: (vectors(), rows(39)), DataError, "39 rows for 40 vectors"),
    "many rows": (lambda: (vectors(), rows(42)), DataError, "42 rows for 40 vectors"),
    "text row": (lambda: (vectors(2), ["a", "b"]), DataError, r"rows\[0\]"),
    "object": (lambda: (vectors(2), [{}, {"x": object()}]), DataError, r"rows\[1\]"),
    "nan cell": (lambda: (vectors(2), [{}, {"x": float("nan")}]), DataError, r"rows\[1\]"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_named_and_the_older_index_survives(tmp_path, name):
    make, kind, match = BAD_INPUT[name]
    made(tmp_path / "index", tag="old")
    table, content = make()
    with pytest.raises(kind, match=match) as caught:
        Index.build(tmp_path / "index", table, iter(content), model="new")
    assert caught.value.remedy
    assert Index.open(tmp_path / "index").row(3)["name"] == "old 3"
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_about_must_be_json(tmp_path):
    with pytest.raises(DataError, match=r"\[about\]"):
        Index.build(tmp_path / "i", vectors(2), rows(2), model=MODEL, about={"x": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["files", "file", "index with more", "foreign index.json"])
def test_a_directory_with_anything_else_is_left_alone(tmp_path, kind):
    target = tmp_path / "thesis"
    if kind == "file":
        target.write_text("precious")
    else:
        target.mkdir()
        (target / "index.json" if kind == "foreign index.json" else target / "chapter1.txt").write_text("precious")
        if kind == "index with more":
            made(tmp_path / "index")
            for path in (tmp_path / "index").iterdir():
                shutil.copy(path, target)
    with pytest.raises(UsageError) as caught:
        made(target)
    assert str(target) in caught.value.where
    kept = target if kind == "file" else target / ("index.json" if kind == "foreign index.json" else "chapter1.txt")
    assert kept.read_text() == "precious"


def test_an_empty_directory_is_taken_and_a_link_is_followed(tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(made(tmp_path / "empty")) == 40
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    made(tmp_path / "link", n=3)
    assert (tmp_path / "link").is_symlink()
    assert len(Index.open(tmp_path / "empty")) == 3


def test_an_unwritable_place_is_a_resource_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        made(tmp_path / "file" / "index")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    made(tmp_path / "index", tag="old")
    monkeypatch.setattr(index_module.VectorFiles, "append", full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        made(tmp_path / "index")
    assert caught.value.exit_code == 4
    assert Index.open(tmp_path / "index").row(0)["name"] == "old 0"


def test_a_directory_without_permission_is_a_resource_error(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        directories.tempfile, "mkdtemp", forbidden
    )  # root may write everywhere, so chmod proves nothing
    with pytest.raises(ResourceError, match="Permission denied"):
        made(tmp_path / "index")


# Builds that die.


@pytest.mark.parametrize("point", ["append", "insert", "flush", "exchange"])
@pytest.mark.parametrize("death", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_the_old_index(tmp_path, monkeypatch, point, death):
    made(tmp_path / "index", tag="old")
    module = {"append": index_module.VectorFiles, "insert": index_module.Table}.get(point, directories)
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
    original, calls = Path.rename, []

    def rename(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
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
    original, calls = Path.rename, []

    def rename(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
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


# Adding, replacing, deleting.


def content(index):
    """Everything that an index holds, by key."""
    slots = index.slots()
    return {index.key(s): (index.row(s), index.vectors([s])[0].tobytes()) for s in slots}


@pytest.mark.parametrize("dtype", ["float32", "int8", "bits"])
def test_what_is_added_replaced_and_deleted(tmp_path, dtype):
    table = vectors(12, d=70)
    with Index.create(tmp_path / "i", model=MODEL, dimension=70, dtype=dtype) as index:
        assert len(index) == 0
        assert index.nearest(table[:2], 3).rows.shape == (2, 0)
        assert index.add(table[:8], rows(8), list("abcdefgh")) == 8
        assert index.add(table[8:], rows(4, "new"), ["c", "x", "y", "z"]) == 4
        assert index.delete(["a", "nobody"]) == 1
        assert len(index) == 10
        assert index.slot("a") is None
        assert index.row(index.slot("c")) == {"name": "new 0", "line": 0}
        assert index.nearest(table[8][None], 1).rows[0, 0] == index.slot("c")
        assert index.nearest(table[:1], 10).rows.min() > 0  # "a" was in slot 0
        before = content(index)
    with Index.open(tmp_path / "i", write=True) as index:
        assert content(index) == before
        assert index.compact() == 2
        assert {key: row for key, (row, _) in content(index).items()} == {key: row for key, (row, _) in before.items()}
        assert index.slots().tolist() == list(range(10))
        assert index.compact() == 0
        assert index.add(table[:1], rows(1), ["a"]) == 1
    assert len(Index.open(tmp_path / "i")) == 11


def test_int8_and_bits_find_what_float32_finds(tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 96))
    table = (centres[rng.integers(0, 40, 3000)] + 0.7 * rng.normal(size=(3000, 96))).astype(np.float32)
    queries = (table[:50] + 0.5 * rng.normal(size=(50, 96))).astype(np.float32)
    found = {}
    for dtype in ("float32", "int8", "bits"):
        index = Index.build(tmp_path / dtype, table, rows(3000), model=MODEL, dtype=dtype)
        found[dtype] = index.nearest(queries, 10)
        assert (np.diff(found[dtype].scores, axis=1) <= 0).all()
    sizes = {
        dtype: (tmp_path / dtype / name).stat().st_size
        for dtype, name in [("float32", "vectors.f32"), ("int8", "vectors.i8")]
    }
    assert sizes["float32"] == 4 * sizes["int8"]
    assert (tmp_path / "bits" / "vectors.b1").stat().st_size == 3000 * 16
    for dtype, least in (("int8", 0.95), ("bits", 0.9)):
        hits = zip(found[dtype].rows, found["float32"].rows, strict=True)
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in hits]) >= least, dtype
        assert np.abs(found[dtype].scores[:, 0] - found["float32"].scores[:, 0]).max() < 0.01
    assert found["int8"].scores[0, 0] != found["float32"].scores[0, 0]


def test_signs_alone_would_be_seen(tmp_path):
    """Without scoring again the order is that of differing signs, which ties all over."""
    table = vectors(2000, d=64)
    index = Index.build(tmp_path / "i", table, rows(2000), model=MODEL, dtype="bits")
    query = vectors(1, d=64, seed=5)
    signs = ((table >= 0) != (query >= 0)).sum(1)
    assert index.nearest(query, 10).rows[0].tolist() != np.argsort(signs, kind="stable")[:10].tolist()


def test_bad_rows_change_nothing(tmp_path):
    with Index.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        index.add(vectors(3), rows(3), ["a", "b", "c"])
        before = content(index)
        for table, table_rows, keys, kind, match in [
            (vectors(2), rows(2), ["a", "a"], UsageError, "twice"),
            (vectors(2), rows(3), None, DataError, "3 rows for 2 vectors"),
            (vectors(2), rows(2), ["x"], DataError, "1 keys for 2 vectors"),
            (vectors(2), rows(2), ["x", ""], DataError, "is no key"),
            (vectors(2), rows(2), ["x", "a\nb"], DataError, "is no key"),
            (vectors(2, d=9), rows(2), ["x", "y"], UsageError, r"takes \[n 8\]"),
            (vectors(2) * np.nan, rows(2), ["x", "y"], DataError, "not finite"),
            (vectors(2), [{"x": 1}, {"x": object()}], ["x", "y"], DataError, r"rows\[1\]"),
        ]:
            with pytest.raises(kind, match=match) as caught:
                index.add(table, table_rows, keys)
            assert caught.value.remedy
            assert content(index) == before
        assert index.add(vectors(0), []) == 0
        assert index.add(vectors(1), rows(1)) == 1
        assert index.key(3) == "3"  # the number of its vector


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


def test_one_process_writes_and_others_see_it(tmp_path):
    with Index.create(tmp_path / "i", model=MODEL, dimension=8) as writer:
        reader = Index.open(tmp_path / "i")
        with pytest.raises(ResourceError, match="another process is writing"):
            Index.open(tmp_path / "i", write=True)
        writer.add(vectors(3), rows(3))
        assert len(reader) == 3
        assert reader.nearest(vectors(1), 1).rows.tolist() == [[0]]
        view = reader.view()
        writer.delete(["0"])
        assert reader.nearest(vectors(1), 3).rows.min() == 1
        assert view.alive.all()  # whoever searches goes on with theirs
        with pytest.raises(UsageError, match="open for reading"):
            reader.delete(["1"])
    Index.open(tmp_path / "i", write=True).close()


def test_a_directory_that_is_not_empty_is_not_begun_in(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        Index.create(tmp_path, model=MODEL, dimension=8)
    with pytest.raises(UsageError, match="no dtype"):
        Index.create(tmp_path / "x", model=MODEL, dimension=8, dtype="float16")


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


def test_columns_are_written_and_found_again(tmp_path):
    with Index.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        index.add(vectors(4), [{"text": f"word {i}", "old": "moon"} for i in range(4)])
        assert index.set_column("topic", [0, 2], ["sun", 3.5]) == 2
        assert index.row(0) == {"text": "word 0", "old": "moon", "topic": "sun"}
        assert index.words("sun").rows.tolist() == [[0]]
        assert index.set_column("old", [0], ["star"]) == 1
        assert index.words("moon").rows.tolist() == [[1, 2, 3]]
        with pytest.raises(UsageError, match="no row 9"):
            index.set_column("topic", [1, 9], ["a", "b"])
        with pytest.raises(DataError, match="topic"):
            index.set_column("topic", [1], [object()])
        assert "topic" not in index.row(1)
    Index.open(tmp_path / "i")


# Words and filters.


def library(directory):
    content = [
        {"text": "parse a date from a string", "lang": "python", "stars": 5, "done": True},
        {"text": "Parse the DATE, and the time", "lang": "c", "stars": 7, "done": False},
        {"text": "sort numbers", "lang": "python", "stars": "7", "done": None},
        {"text": "naïve café menu", "lang": "C"},
    ]
    return Index.build(directory, np.eye(4), content, model=MODEL)


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("date", False, {0, 1}),
        ("DATE time", False, {0, 1}),
        ("sor", False, set()),
        ("sor", True, {2}),
        ("sor ", True, set()),
        ("cafe", False, {3}),
        ("", False, set()),
        ("!!! ???", False, set()),
        ('" OR text:x NEAR( *', False, set()),
        ("date AND NOT date", False, {0, 1}),
        ("from_a-string", False, {0}),
        ("x" * 10_000, False, set()),
    ],
)
def test_words_are_words_and_never_operators(tmp_path, text, prefix, expected):
    found = library(tmp_path / "i").words(text, 10, prefix=prefix)
    assert set(found.rows[0].tolist()) == expected
    assert (found.scores > 0).all()
    assert (np.diff(found.scores) <= 0).all()


def test_more_of_rare_words_ranks_higher(tmp_path):
    index = library(tmp_path / "i")
    assert index.words("parse date time").rows[0].tolist() == [1, 0]
    assert index.words("parse date time", 1).rows[0].tolist() == [1]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([Filter("lang", "=", "python")], [0, 2]),
        ([Filter("lang", "!=", "python")], [1, 3]),
        ([Filter("lang", "~", "C")], [1, 3]),
        ([Filter("stars", "=", 7)], [1, 2]),
        ([Filter("stars", ">", 5)], [1, 2]),
        ([Filter("stars", "<=", 5)], [0]),
        ([Filter("stars", "!=", 7)], [0, 3]),
        ([Filter("done", "=", True)], [0]),
        ([Filter("done", "=", False)], [1]),
        ([Filter("stars", "=", None)], [3]),
        ([Filter("lang", "=", "python"), Filter("stars", ">=", 6)], [2]),
        ([Filter("lang", "=", "' OR 1=1 --")], []),
    ],
)
def test_filters(tmp_path, where, expected):
    index = library(tmp_path / "i")
    assert sorted(index.nearest(np.ones((1, 4)), 9, where=where).rows[0].tolist()) == expected
    found = index.words("parse date sort menu", 9, where=where).rows[0].tolist()
    assert sorted(found) == expected


def test_a_filter_on_a_column_that_nobody_has_is_named(tmp_path):
    index = library(tmp_path / "i")
    for ask in (lambda w: index.nearest(np.ones((1, 4)), 2, where=w), lambda w: index.words("date", where=w)):
        with pytest.raises(UsageError, match="no record has a column 'language'") as caught:
            ask([Filter("language", "=", "c")])
        assert "lang" in caught.value.remedy
    with pytest.raises(UsageError, match="is no filter"):
        index.words("date", where=[Filter("lang", "; DROP TABLE rows", "x")])


def test_columns_offer_what_can_be_filtered(tmp_path):
    found = library(tmp_path / "i").columns()
    assert found["lang"] == {"python": 2, "c": 1, "C": 1}
    assert found["done"] == {True: 1, False: 1}
    assert "text" in found  # four short ones; a corpus of more has none
    many = Index.build(tmp_path / "m", vectors(60), rows(60), model=MODEL)
    assert many.columns() == {}


@pytest.mark.parametrize("share", [0.9, 0.4, 0.05])
def test_filtered_search_equals_search_of_the_rest(tmp_path, share):
    rng = np.random.default_rng(0)
    table, queries = vectors(500), vectors(7, seed=1)
    chosen = rng.random(500) < share
    index = Index.build(tmp_path / "i", table, [{"yes": bool(c)} for c in chosen], model=MODEL)
    hits = index.nearest(queries, 20, where=[Filter("yes", "=", True)])
    numbers, _ = nearest_chunked(queries, table[chosen] / np.linalg.norm(table[chosen], axis=1)[:, None], 20)
    expected = np.flatnonzero(chosen)[numbers]
    assert (hits.rows == expected).all()
    assert (index.nearest(queries, 20).rows != expected).any()


# Damage.


def opened(directory, **options) -> NearfarError:
    with pytest.raises(DataError) as caught:
        Index.open(directory, **options)
    assert str(directory) in caught.value.where
    assert caught.value.remedy
    return caught.value


@pytest.fixture(params=["float32", "bits"])
def place(tmp_path, request):
    Index.build(tmp_path / "index", vectors(), rows(), model=MODEL, dtype=request.param).close()
    assert len(Index.open(tmp_path / "index")) == 40
    return tmp_path / "index"


def test_what_is_no_index(tmp_path):
    assert "no such directory" in opened(tmp_path / "nowhere").what
    assert "no index" in opened(tmp_path).what


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", '{"format": "other"}', "[" * 200_000, "9" * 5000])
def test_a_damaged_manifest(place, text):
    (place / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert opened(place).what.startswith(("the index is damaged", "this is no nearfar index"))


def test_an_absurdly_large_manifest(place):
    with open(place / "index.json", "ab") as file:
        file.truncate(17 << 20)
    assert "damaged" in opened(place).what


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": 1}, "format version 1; this nearfar reads version 2"),
        ({"version": "2"}, "format version '2'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"dtype": ["int8"]}, "dtype is"),
        ({"dimension": "8"}, "dimension is '8'"),
        ({"dimension": 0}, "dimension is 0"),
        ({"dimension": True}, "dimension is True"),
        ({"dimension": 80}, "cut off"),
        ({"dimension": 7}, "checksum"),
        ({"model": None}, "model is missing"),
        ({"about": []}, "about is missing or of a wrong type"),
    ],
)
def test_a_manifest_that_says_something_else(place, changes, part):
    stored = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(stored | changes))
    assert part in opened(place).what


def test_vectors_that_are_missing_cut_off_or_changed(place):
    for path in sorted(place.glob("vectors.*")):
        whole = path.read_bytes()
        path.unlink()
        assert "missing" in opened(place).what
        path.write_bytes(whole[:-5])
        assert "cut off" in opened(place, verify=False).what
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert "checksum" in opened(place).what
        path.write_bytes(whole + b"what a killed writer left")
        assert len(Index.open(place)) == 40


def test_rows_that_are_missing_cut_off_or_changed(place):
    path = place / "rows.sqlite"
    whole = path.read_bytes()
    path.unlink()
    assert "missing" in opened(place).what
    for content in (b"", b"x" * 5000, whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "damaged" in opened(place).what, content[:10]
    path.write_bytes(whole.replace(b'"name": "row 7"', b'"name": "row 8"'))
    assert "checksum" in opened(place).what
    path.write_bytes(whole)
    assert len(Index.open(place)) == 40


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("UPDATE meta SET value = 39 WHERE name = 'slots'", "39 vectors count, 40 are accounted for"),
        ("DELETE FROM meta", "does not say how many rows"),
        ("DELETE FROM segments", "0 are accounted for"),
        ("UPDATE rows SET slot = 99 WHERE slot = 5", "row 99"),
        ("UPDATE rows SET row = '[1]' WHERE slot = 5", "checksum"),
        ("DROP TABLE rows", "no such table"),
    ],
)
def test_rows_that_say_something_else(place, statement, part):
    with sqlite3.connect(place / "rows.sqlite") as connection:
        connection.execute(statement)
    connection.close()
    assert part in opened(place).what


def test_nothing_of_an_index_is_ever_unpickled(place):
    import pickle

    for path in place.glob("vectors.*"):
        path.write_bytes(pickle.dumps({"a": 1}) * 1000)
    assert "checksum" in opened(place).what


def test_very_common_words_are_left_out_beside_rarer_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("nearfar.search.rows.COMMON", 20)
    content = [
        {"text": f"the {'moon ' if i % 10 == 0 else ''}number{i} {'Été' if i % 2 else 'sun'}"} for i in range(100)
    ]
    index = Index.build(tmp_path / "i", vectors(100), content, model=MODEL)
    assert set(index.words("the moon", 100).rows[0].tolist()) == set(range(0, 100, 10))
    assert index.words("the moon", 100).scores.tolist() == index.words("moon", 100).scores.tolist()
    # Alone, about the first so many that hold it are ranked; never none, and never all.
    for word in ("the", "ete", "ÉTÉ"):
        found = index.words(word, 100).rows[0]
        assert 5 <= len(found) <= 25, word
    assert set(index.words("mo", 100, prefix=True).rows[0].tolist()) == set(range(0, 100, 10))
    assert index.words("nu", 100, prefix=True).rows.shape == (1, 0), "what goes on in more ways is looked up as it is"
    assert index.words("number7 nu", 100, prefix=True).rows.tolist() == [[7]]
    monkeypatch.setattr("nearfar.search.rows.COMMON", 1000)
    fresh = Index.open(tmp_path / "i")
    assert len(fresh.words("the moon", 100).rows[0]) == 100
