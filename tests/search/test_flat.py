"""The index on disk: search equals brute force, every damage is named, and a build that dies costs nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
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
from nearfar.search import build as build_module
from nearfar.search.flat import FlatIndex
from nearfar.search.manifest import sha256

MODEL = "model-one"


def vectors(n=40, d=8, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def rows(n=40, tag="row"):
    return [{"name": f"{tag} {i}", "line": i} for i in range(n)]


def made(directory, n=40, seed=0, tag="row") -> FlatIndex:
    return FlatIndex.build(directory, vectors(n, seed=seed), rows(n, tag), model=MODEL)


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


# Search.


@pytest.mark.parametrize("k", [1, 3, 40, 100])
@pytest.mark.parametrize("n", [1, 7, 300])
def test_search_equals_brute_force(tmp_path, n, k):
    table, queries = vectors(n), vectors(9, seed=1)
    index = FlatIndex.build(tmp_path / "index", table, rows(n), model=MODEL)
    hits = index.search(queries, k)
    numbers, scores = brute_force(queries, table, k)
    assert hits.rows.shape == hits.scores.shape == (9, min(n, k))
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32
    assert (hits.rows == numbers).all()
    np.testing.assert_allclose(hits.scores, scores, rtol=0, atol=1e-6)


def test_dot_products_instead_of_cosines_would_be_seen(tmp_path):
    table, queries = vectors(300) * np.linspace(0.1, 10, 300, dtype=np.float32)[:, None], vectors(9, seed=1)
    hits = FlatIndex.build(tmp_path / "index", table, rows(300), model=MODEL).search(queries, 5)
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
    assert isinstance(index.vectors, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        index.vectors[0] = 0
    np.testing.assert_allclose(np.linalg.norm(index.vectors, axis=1), 1, atol=1e-6)


def test_rows_are_read_by_number(tmp_path):
    content = [{"name": "ä\n\u2028", "deep": [1, {"x": None}]}, {}, {"text": "\ud800 half"}, {"n": 1.5, "yes": True}]
    index = FlatIndex.build(tmp_path / "index", vectors(4), iter(content), model=MODEL)
    assert [index.row(i) for i in (3, 0, 2, 1)] == [content[3], content[0], content[2], content[1]]
    assert len(index) == 4
    assert index.row(np.int64(1)) == {}
    for number in (-1, 4):
        with pytest.raises(UsageError, match="no row"):
            index.row(number)


def test_no_queries_give_no_hits(index):
    assert index.search(vectors(0), 5).rows.shape == (0, 5)


@pytest.mark.parametrize(
    ("queries", "k", "kind", "match"),
    [
        (vectors(2, 9), 5, UsageError, r"takes \[q 8\]"),
        (vectors(1)[0], 5, UsageError, r"takes \[q 8\]"),
        (np.ones((1, 8), dtype=np.int64), 5, UsageError, "floating point"),
        (vectors(1), 0, UsageError, "asks for nothing"),
        (np.zeros((1, 8)), 5, DataError, "zero"),
        (np.full((1, 8), np.nan), 5, DataError, "not finite"),
        (np.array([[1, np.inf] * 4]), 5, DataError, "not finite"),
    ],
)
def test_queries_that_cannot_be_answered(index, queries, k, kind, match):
    with pytest.raises(kind, match=match) as caught:
        index.search(queries, k)
    assert caught.value.remedy


def test_vectors_of_another_model_are_refused(tmp_path, index):
    assert len(FlatIndex.open(tmp_path / "index", model=MODEL)) == 40
    with pytest.raises(DataError, match="made by model model-one, not by other") as caught:
        FlatIndex.open(tmp_path / "index", model="other")
    assert "search with the model that made it" in caught.value.remedy
    with pytest.raises(DataError, match="cannot be compared"):
        index.search(vectors(1), 5, model="other")
    assert index.search(vectors(1), 5, model=MODEL).rows.shape == (1, 5)


# Building.


def test_what_is_written_is_what_is_opened(tmp_path):
    made(tmp_path / "deep" / "er" / "index")
    directory = tmp_path / "deep" / "er" / "index"
    assert sorted(p.name for p in directory.iterdir()) == ["index.json", "offsets.npy", "rows.jsonl", "vectors.npy"]
    assert [p.name for p in directory.parent.iterdir()] == ["index"]
    stored = json.loads((directory / "index.json").read_text())
    assert (stored["format"], stored["version"], stored["dimension"], stored["count"]) == ("nearfar-index", 1, 8, 40)
    assert stored["files"]["vectors.npy"]["sha256"] == sha256(directory / "vectors.npy")
    assert directory.stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777
    index = FlatIndex.open(directory)
    unit = vectors() / np.linalg.norm(vectors(), axis=1)[:, None]
    np.testing.assert_allclose(index.vectors, unit, atol=1e-6)
    assert [index.row(i) for i in range(40)] == rows()


def test_the_same_input_gives_the_same_bytes(tmp_path):
    made(tmp_path / "a")
    made(tmp_path / "b")
    made(tmp_path / "c", seed=1)
    files = {d: [(tmp_path / d / f).read_bytes() for f in ("index.json", *build_module.FILES)] for d in "abc"}
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_blocks_and_half_precision_do_not_matter(tmp_path, monkeypatch):
    whole = made(tmp_path / "a").vectors
    monkeypatch.setattr(build_module, "BLOCK", 7)
    assert (made(tmp_path / "b").vectors == whole).all()
    half = FlatIndex.build(tmp_path / "c", vectors().astype(np.float16), rows(), model=MODEL)
    assert half.vectors.dtype == np.float32
    assert np.abs(half.vectors - whole).max() < 1e-3


def test_an_index_is_replaced_and_an_open_one_stays_readable(tmp_path):
    old = made(tmp_path / "index", tag="old")
    new = made(tmp_path / "index", n=5, tag="new")
    assert old.row(39)["name"] == "old 39"
    assert old.search(vectors(1), 1).rows.tolist() == [[0]]
    assert (len(new), new.row(0)["name"]) == (5, "new 0")
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_about_is_remembered(tmp_path):
    index = FlatIndex.build(tmp_path / "i", vectors(2), rows(2), model=MODEL, about={"corpus": "ä"})
    assert FlatIndex.open(tmp_path / "i").manifest.about == {"corpus": "ä"} == index.manifest.about


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
        FlatIndex.build(tmp_path / "index", table, iter(content), model="new")
    assert caught.value.remedy
    assert FlatIndex.open(tmp_path / "index").row(3)["name"] == "old 3"
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_about_must_be_json(tmp_path):
    with pytest.raises(DataError, match=r"\[about\]"):
        FlatIndex.build(tmp_path / "i", vectors(2), rows(2), model=MODEL, about={"x": object()})
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
    assert len(FlatIndex.open(tmp_path / "empty")) == 3


def test_an_unwritable_place_is_a_resource_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        made(tmp_path / "file" / "index")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    made(tmp_path / "index", tag="old")
    monkeypatch.setattr(build_module, "_write_vectors", full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        made(tmp_path / "index")
    assert caught.value.exit_code == 4
    assert FlatIndex.open(tmp_path / "index").row(0)["name"] == "old 0"


def test_a_directory_without_permission_is_a_resource_error(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        directories.tempfile, "mkdtemp", forbidden
    )  # root may write everywhere, so chmod proves nothing
    with pytest.raises(ResourceError, match="Permission denied"):
        made(tmp_path / "index")


# Builds that die.


@pytest.mark.parametrize("point", ["_write_vectors", "_write_rows", "flush", "exchange"])
@pytest.mark.parametrize("death", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_the_old_index(tmp_path, monkeypatch, point, death):
    made(tmp_path / "index", tag="old")
    module = build_module if point.startswith("_write") else directories
    original = getattr(module, point)

    def dies(*arguments):
        if point != "exchange":
            original(*arguments)
        raise death

    monkeypatch.setattr(module, point, dies)
    with pytest.raises(death):
        made(tmp_path / "index", tag="new")
    assert FlatIndex.open(tmp_path / "index").row(0)["name"] == "old 0"
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
    assert FlatIndex.open(tmp_path / "index").row(0)["name"] == "old 0"
    with pytest.raises(DataError):
        FlatIndex.build(tmp_path / "index", vectors(), rows(3), model=MODEL)
    assert FlatIndex.open(tmp_path / "index").row(0)["name"] == "old 0"
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
    assert FlatIndex.open(tmp_path / "index").row(0)["name"] == "old 0"


def test_a_killed_process_leaves_the_old_index(tmp_path):
    made(tmp_path / "index", tag="old")
    code = f"""
        import time, numpy as np
        from nearfar.search.flat import FlatIndex
        def rows():
            yield {{"name": "new 0"}}
            print("half", flush=True)
            time.sleep(600)
        FlatIndex.build({str(tmp_path / "index")!r}, np.eye(2), rows(), model="new")
    """
    source = str(Path(build_module.__file__).parents[2])
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
    with pytest.raises(DataError, match="no index"):
        FlatIndex.open(half_built[0])  # it was in the middle
    assert FlatIndex.open(tmp_path / "index", model=MODEL).row(0)["name"] == "old 0"
    # What a dead process left goes after a day, not at once: another process might be at work.
    assert made(tmp_path / "index", tag="new").row(0)["name"] == "new 0"
    assert half_built[0].exists()
    day = time.time() - 2 * 86_400
    os.utime(half_built[0], (day, day))
    made(tmp_path / "index", tag="new")
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


# Damage.


def opened(directory, **options) -> NearfarError:
    with pytest.raises(DataError) as caught:
        FlatIndex.open(directory, **options)
    assert str(directory) in caught.value.where
    assert caught.value.remedy
    return caught.value


@pytest.fixture
def place(tmp_path):
    made(tmp_path / "index")
    assert len(FlatIndex.open(tmp_path / "index")) == 40
    return tmp_path / "index"


def test_what_is_no_index(tmp_path):
    assert "no such directory" in opened(tmp_path / "nowhere").what
    assert "no index" in opened(tmp_path).what


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", '{"format": "other"}', "[" * 200_000, "9" * 5000])
def test_a_damaged_manifest(place, text):
    (place / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert opened(place).what.startswith(("index.json is damaged", "this is no nearfar index"))


def test_an_absurdly_large_manifest(place):
    with open(place / "index.json", "ab") as file:
        file.truncate(17 << 20)
    assert "absurdly large" in opened(place).what


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": 2}, "format version 2; this nearfar reads version 1"),
        ({"version": "1"}, "format version '1'"),
        ({"version": None}, "format version None"),
        ({"similarity": "dot"}, "similarity is 'dot'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"count": -1}, "count is -1"),
        ({"count": 40.0}, "count is 40.0"),
        ({"count": True}, "count is True"),
        ({"dimension": "8"}, "dimension is '8'"),
        ({"dimension": 0}, "dimension is 0"),
        ({"model": None}, "model is missing"),
        ({"about": []}, "about is missing or of a wrong type"),
        ({"files": []}, "files is missing or of a wrong type"),
        ({"files": {}}, "names the files"),
        ({"files": {"../../etc/passwd": {}}}, "names the files"),
        ({"files": dict.fromkeys(build_module.FILES)}, "size or checksum"),
        ({"files": {name: {"bytes": "5", "sha256": ""} for name in build_module.FILES}}, "size or checksum"),
        ({"count": 39}, r"the array is [40, 8]"),
        ({"dimension": 7}, r"the array is [40, 8]"),
    ],
)
def test_a_manifest_that_says_something_else(place, changes, part):
    stored = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(stored | changes))
    assert part in opened(place).what


def test_paths_in_a_manifest_are_never_followed(tmp_path, place):
    """A manifest that names a file outside is refused, even if that file exists and its checksum is right."""
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes((place / "rows.jsonl").read_bytes())
    stored = json.loads((place / "index.json").read_text())
    stored["files"]["../secret.jsonl"] = stored["files"].pop("rows.jsonl")
    (place / "index.json").write_text(json.dumps(stored))
    assert "names the files" in opened(place).what


@pytest.mark.parametrize("name", build_module.FILES)
def test_files_that_are_missing_cut_off_or_changed(place, name):
    path = place / name
    whole = path.read_bytes()
    path.unlink()
    assert "missing" in opened(place).what
    path.write_bytes(whole[:-5])
    assert "cut off" in opened(place).what
    path.write_bytes(b"")
    assert "cut off" in opened(place).what
    path.write_bytes(whole + b"x")
    assert "changed" in opened(place, verify=False).what
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "checksum" in opened(place).what
    path.write_bytes(whole)
    assert len(FlatIndex.open(place)) == 40


def replaced(place, name, content: bytes):
    """A file replaced by somebody who also corrects size and checksum."""
    (place / name).write_bytes(content)
    stored = json.loads((place / "index.json").read_text())
    stored["files"][name] = {"bytes": len(content), "sha256": sha256(place / name)}
    (place / "index.json").write_text(json.dumps(stored))


def npy(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


class Bomb:
    """Creates a directory when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_pickled_arrays_are_never_loaded(tmp_path, place):
    trap = np.empty((40, 8), dtype=object)
    trap[:] = Bomb(tmp_path / "exploded")
    content = npy(trap, allow_pickle=True)
    replaced(place, "vectors.npy", content)
    assert "no array that can be read" in opened(place).what
    replaced(place, "vectors.npy", content[content.index(b"\n") + 1 :])  # a bare pickle, which np.load would load
    assert "no array that can be read" in opened(place).what
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "trap.npy").write_bytes(content)
    np.load(tmp_path / "trap.npy", allow_pickle=True)
    assert (tmp_path / "exploded").exists()  # the trap works


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (npy(vectors().astype(np.float64)), "of float64, not [40, 8] of float32"),
        (npy(vectors().astype(">f4")), "not [40, 8] of float32"),
        (npy(vectors(41)), "[41, 8]"),
        (npy(vectors()[:, :7]), "[40, 7]"),
        (npy(np.asfortranarray(vectors())), "the array is"),
        (npy(vectors())[:-100], "no array that can be read"),
        (npy(vectors())[:50], "no array that can be read"),
        (npy(vectors()).replace(b"(40, 8)", b"(4**9,)"), "no array that can be read"),
        (npy(vectors()).replace(b"(40, 8)", b"(-1, 8)"), "read"),
        (b"not an array at all", "no array that can be read"),
        (b"PK\x03\x04" + bytes(100), "no array that can be read"),
    ],
)
def test_vectors_that_are_not_what_they_should_be(place, content, part):
    replaced(place, "vectors.npy", content)
    assert part in opened(place).what


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o[::-1].copy(),
        lambda o: o[[0, 2, 1, *range(3, 41)]],
        lambda o: o + 1,
        lambda o: o * 0,
        lambda o: np.r_[0, o[:-1]],
    ],
)
def test_offsets_that_do_not_fit(place, change):
    replaced(place, "offsets.npy", npy(change(np.load(place / "offsets.npy"))))
    assert "offsets do not fit" in opened(place).what


def test_a_damaged_row_is_named_when_it_is_read(place):
    content = (place / "rows.jsonl").read_bytes()
    replaced(place, "rows.jsonl", content.replace(b'{"name": "row 7"', b'["name": "row 7"'))
    index = FlatIndex.open(place)
    assert index.row(6)["name"] == "row 6"
    with pytest.raises(DataError, match="damaged") as caught:
        index.row(7)
    assert "rows.jsonl, line 8" in caught.value.where
