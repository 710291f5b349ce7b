"""The index in files: search equals brute force, what is built and added is what is opened, in every precision.

What every index does, whatever keeps it, is in `test_backends`; changes that die in `test_whole_or_not`, damage in `test_damage`.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from nearfar.core import directories
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.search import index as index_module
from nearfar.search import vector_files
from nearfar.search.index import Index
from small_index import MODEL, content, made, rows, vectors


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
    monkeypatch.setattr(vector_files.VectorFiles, "append", full)
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


# Adding, replacing, deleting.


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
