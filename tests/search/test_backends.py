"""What every index does, whatever keeps it: the same calls, answers and errors from `Index` and, where it is installed, from LanceDB."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from nearfar.cli.main import main
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.model import Model
from nearfar.encoders.static import Static
from nearfar.search.filters import Filter
from nearfar.search.index import Index
from nearfar.search.lance import LanceIndex
from nearfar.search.searcher import Searcher
from nearfar.search.update import Item, update
from small_index import MODEL, content, rows, vectors

CONTENT = [
    {"text": "parse a date from a string", "lang": "python", "stars": 5, "done": True},
    {"text": "Parse the DATE, and the time", "lang": "c", "stars": 7, "done": False},
    {"text": "sort numbers", "lang": "python", "stars": "7", "done": None},
    {"text": 'naïve café menu, it\'s "quoted"', "lang": "C"},
]


@pytest.fixture(params=[Index, LanceIndex], ids=["files", "lance"])
def backend(request, optional_package):
    """The class, whose indexes are closed when the test ends."""
    if request.param is LanceIndex:
        optional_package("lancedb")
    opened = []

    class Kept(request.param):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            opened.append(self)

    yield Kept
    for index in opened:
        index.close()


def made(backend, place, n=40, seed=0):
    return backend.build(place, vectors(n, seed=seed), rows(n), model=MODEL, about={"side": "document"})


def brute_force(queries, table, k):
    """All cosines in float64, one at a time; equal ones in the order of rows."""
    slots, scores = [], []
    for query in queries.astype(np.float64):
        row = [np.float32(v @ query / np.sqrt((v @ v) * (query @ query))) for v in table.astype(np.float64)]
        best = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        slots.append(best)
        scores.append([row[i] for i in best])
    return np.array(slots), np.array(scores)


# Searching.


@pytest.mark.parametrize(("n", "k"), [(1, 3), (7, 7), (300, 10)])
def test_nearest_is_exact(backend, tmp_path, n, k):
    table, queries = vectors(n) * np.linspace(0.1, 9, n, dtype=np.float32)[:, None], vectors(5, seed=1)
    hits = backend.build(tmp_path / "i", table, rows(n), model=MODEL).nearest(queries, k)
    expected, scores = brute_force(queries, table, k)
    assert (hits.rows == expected).all()
    assert (hits.rows.dtype, hits.scores.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(hits.scores, scores, atol=1e-6)
    if n == 300:
        assert (np.argsort(-queries @ table.T, axis=1)[:, :k] != expected).any(), "dot products would be seen"


def test_equal_scores_are_in_the_order_of_slots(backend, tmp_path):
    table = np.repeat(vectors(3), 12, axis=0)
    hits = backend.build(tmp_path / "i", table, rows(36), model=MODEL).nearest(vectors(3)[1:2], 9)
    assert hits.rows[0].tolist() == list(range(12, 21))


def test_no_queries(backend, tmp_path):
    assert made(backend, tmp_path / "i").nearest(vectors(0), 5).rows.shape == (0, 5)


@pytest.mark.parametrize(
    ("queries", "k", "kind", "said"),
    [
        (vectors(2, 9), 5, UsageError, r"takes \[\w 8\]"),
        (vectors(1)[0], 5, UsageError, r"takes \[\w 8\]"),
        (np.ones((1, 8), dtype=np.int64), 5, UsageError, "floating point"),
        (vectors(1), 0, UsageError, "asks for nothing"),
        (np.zeros((1, 8), dtype=np.float32), 5, DataError, "zero"),
        (np.full((1, 8), np.nan), 5, DataError, "not finite"),
        (np.array([[1, np.inf] * 4]), 5, DataError, "not finite"),
    ],
)
def test_queries_that_cannot_be_answered(backend, tmp_path, queries, k, kind, said):
    with pytest.raises(kind, match=said) as caught:
        made(backend, tmp_path / "i").nearest(queries, k)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("date", False, {0, 1}),
        ("DATE time", False, {0, 1}),
        ("sor", False, set()),
        ("sor", True, {2}),
        ("date sor", True, {0, 1, 2}),
        ("sor ", True, set()),
        ("cafe", False, {3}),
        ("", False, set()),
        ("!!! ???", True, set()),
        ("' OR 1=1 --", False, set()),
        ('" OR text:x NEAR( *', False, set()),
        ("date AND NOT date", False, {0, 1}),
        ("from_a-string", False, {0}),
        ("it's", False, {3}),
        ("x" * 10_000, True, set()),
    ],
)
def test_words(backend, tmp_path, text, prefix, expected):
    hits = backend.build(tmp_path / "i", np.eye(4), CONTENT, model=MODEL).words(text, 10, prefix=prefix)
    assert set(hits.rows[0].tolist()) == expected
    assert (hits.scores > 0).all()
    assert (np.diff(hits.scores) <= 0).all()


def test_more_of_rare_words_ranks_higher(backend, tmp_path):
    index = backend.build(tmp_path / "i", np.eye(4), CONTENT, model=MODEL)
    assert index.words("parse date time", 9).rows[0].tolist() == [1, 0]
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
def test_filters(backend, tmp_path, where, expected):
    index = backend.build(tmp_path / "i", np.eye(4), CONTENT, model=MODEL)
    assert sorted(index.nearest(np.ones((1, 4)), 9, where=where).rows[0].tolist()) == expected
    assert sorted(index.words("parse date sort menu", 9, where=where).rows[0].tolist()) == expected


@pytest.mark.parametrize("share", [0.9, 0.4, 0.05])
@pytest.mark.parametrize("listed", [5_000, 3])
def test_filtered_search_is_that_of_the_rest(backend, tmp_path, share, listed, monkeypatch):
    monkeypatch.setattr("nearfar.search.lance.LISTED", listed)
    table, queries = vectors(400), vectors(3, seed=1)
    chosen = np.random.default_rng(0).random(400) < share
    index = backend.build(tmp_path / "i", table, [{"yes": bool(c)} for c in chosen], model=MODEL)
    hits = index.nearest(queries, 9, where=[Filter("yes", "=", True)])
    expected = np.flatnonzero(chosen)[brute_force(queries, table[chosen], 9)[0]]
    assert (hits.rows == expected).all()
    assert (index.nearest(queries, 9).rows != expected).any()


def test_a_column_that_nobody_has_is_named(backend, tmp_path):
    index = backend.build(tmp_path / "i", np.eye(4), CONTENT, model=MODEL)
    for ask in (lambda w: index.nearest(np.ones((1, 4)), 2, where=w), lambda w: index.words("date", where=w)):
        with pytest.raises(UsageError, match="no record has a column 'language'") as caught:
            ask([Filter("language", "=", "c")])
        assert "lang" in caught.value.remedy
    with pytest.raises(UsageError, match="is no filter"):
        index.words("date", where=[Filter("lang", "; DROP TABLE rows", "x")])


def test_columns_offer_what_can_be_filtered(backend, tmp_path):
    found = backend.build(tmp_path / "i", np.eye(4), CONTENT, model=MODEL).columns()
    assert found["lang"] == {"python": 2, "c": 1, "C": 1}
    assert found["done"] == {True: 1, False: 1}
    assert "text" in found  # four short ones; a corpus of more has none
    many = backend.build(tmp_path / "m", vectors(60), [{"n": i, "list": [i]} for i in range(60)], model=MODEL)
    assert many.columns() == {}


# Rows.


def test_rows_are_what_was_written(backend, tmp_path):
    content = [{"name": "ä\n\u2028", "deep": [1, {"x": None}]}, {}, {"text": "\ud800 half"}, {"n": 1.5, "yes": True}]
    index = backend.build(tmp_path / "i", vectors(4), iter(content), model=MODEL, keys=["a", "it's", "c", 'd"'])
    assert index.rows([3, 0, 2, 1]) == [content[3], content[0], content[2], content[1]]
    assert (len(index), index.key(1), index.slot("it's"), index.slot("none")) == (4, "it's", 1, None)
    assert index.slots().tolist() == [0, 1, 2, 3]
    assert list(index.all_keys()) == ["a", "it's", "c", 'd"']
    assert index.named([1, 9]) == {1: ("it's", {})}
    assert index.row(np.int64(1)) == {}
    np.testing.assert_allclose(np.linalg.norm(index.vectors([2, 0]), axis=1), 1, atol=1e-6)
    for ask in (lambda: index.row(4), lambda: index.key(4), lambda: index.vectors([4]), lambda: index.row(-1)):
        with pytest.raises(UsageError, match="there is no row"):
            ask()


def test_what_is_written_is_what_is_opened(backend, tmp_path):
    made(backend, tmp_path / "i").close()
    with backend.open(tmp_path / "i", model=MODEL) as index:
        told = index.manifest
        assert (told.model, told.dimension, told.dtype, told.about) == (MODEL, 8, "float32", {"side": "document"})
        assert len(index) == 40
        with pytest.raises(UsageError, match="open for reading"):
            index.add(vectors(1), rows(1))
        with pytest.raises(UsageError, match="open for reading"):
            index.delete(["1"])


def test_another_model_is_refused(backend, tmp_path):
    index = made(backend, tmp_path / "i")
    for ask in (
        lambda: index.check_model("model-two"),
        lambda: index.nearest(vectors(1), 3, model="model-two"),
        lambda: backend.open(tmp_path / "i", model="model-two"),
    ):
        with pytest.raises(DataError, match="made by model model-one, not by model-two"):
            ask()


# Changing.


def test_added_replaced_and_deleted(backend, tmp_path):
    with backend.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        assert len(index) == 0
        assert index.words("row").rows.shape == (1, 0)
        assert index.nearest(vectors(1), 3).rows.shape == (1, 0)
        assert index.add(vectors(5), rows(5), list("abcde")) == 5
        assert index.add(vectors(2, seed=1), [{"name": "new"}, {"name": "it's"}], ["b", "z"]) == 2
        assert len(index) == 6
        assert sorted(index.all_keys()) == list("abcdez")
        assert index.row(index.slot("b")) == {"name": "new"}
        assert index.delete(["c", "no such key"]) == 1
        assert index.delete([]) == 0
        hits = index.nearest(vectors(2, seed=1), 1)
        assert [index.key(slot) for slot in hits.rows[:, 0]] == ["b", "z"]
        assert [index.key(slot) for slot in index.words("new").rows[0]] == ["b"]
        assert "c" not in [index.key(slot) for slot in index.nearest(vectors(1), 9).rows[0]]
        assert sorted(index.slots().tolist()) == index.slots().tolist()
    with backend.open(tmp_path / "i") as index:
        assert sorted(index.all_keys()) == list("abdez")


def test_bad_rows_change_nothing(backend, tmp_path):
    index = backend.create(tmp_path / "i", model=MODEL, dimension=8)
    index.add(vectors(3), rows(3), list("abc"))
    before = content(index)
    for given, given_rows, keys, kind, said in (
        (vectors(2), rows(2), ["x", "x"], UsageError, "given twice"),
        (vectors(2), rows(2), ["a", "a"], UsageError, "given twice"),
        (vectors(2), rows(1), ["x", "y"], DataError, "1 rows for 2 vectors"),
        (vectors(2), rows(3), ["x", "y"], DataError, "3 rows for 2 vectors"),
        (vectors(2), rows(3), None, DataError, "3 rows for 2 vectors"),
        (vectors(2), rows(2), ["x"], DataError, "1 keys for 2 vectors"),
        (vectors(2), rows(2), ["x", ""], DataError, "is no key"),
        (vectors(2), rows(2), ["x", "a\nb"], DataError, "is no key"),
        (vectors(2, 9), rows(2), ["x", "y"], UsageError, r"takes \[n 8\]"),
        (vectors(2) * np.nan, rows(2), ["x", "y"], DataError, "not finite"),
        (np.zeros((1, 8)), rows(1), ["x"], DataError, "zero"),
        (vectors(2), [{"x": 1}, {"x": object()}], ["x", "y"], DataError, r"rows\[1\]"),
    ):
        with pytest.raises(kind, match=said) as caught:
            index.add(given, given_rows, keys)
        assert caught.value.remedy
        assert content(index) == before
    assert index.add(vectors(0), []) == 0
    assert index.add(vectors(1), rows(1)) == 1
    assert index.key(3) == "3"  # the number of its vector


BAD = {
    "no vectors": (vectors(0), rows(0), DataError, "nothing to index"),
    "one dimension": (vectors(3)[0], rows(3), UsageError, r"takes vectors \[n d\]"),
    "zero": (np.zeros((3, 8), np.float32), rows(3), DataError, "zero"),
    "nan": (np.full((3, 8), np.nan), rows(3), DataError, "not finite"),
    "few rows": (vectors(3), rows(2), DataError, "2 rows for 3 vectors"),
    "many rows": (vectors(3), rows(4), DataError, "4 rows for 3 vectors"),
    "no JSON": (vectors(3), [{}, {"a": {1, 2}}, {}], DataError, "JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_build_that_fails_leaves_the_older_index(backend, tmp_path, name):
    given, content, kind, said = BAD[name]
    made(backend, tmp_path / "i").close()
    with pytest.raises(kind, match=said):
        backend.build(tmp_path / "i", given, content, model="other")
    assert len(backend.open(tmp_path / "i", model=MODEL)) == 40
    made(backend, tmp_path / "i", 7).close()
    assert len(backend.open(tmp_path / "i", model=MODEL)) == 7


def test_a_directory_with_anything_else_is_left_alone(backend, tmp_path):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="thesis"):
        made(backend, tmp_path / "i")
    with pytest.raises(UsageError):
        backend.create(tmp_path / "i", model=MODEL, dimension=8)
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["thesis.txt"]


def test_columns_are_written_and_found_again(backend, tmp_path):
    with backend.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        index.add(vectors(4), [{"text": f"word {i}", "old": "moon"} for i in range(4)])
        assert index.set_column("topic", [0, 2], ["sun", 3.5]) == 2
        assert index.row(0) == {"text": "word 0", "old": "moon", "topic": "sun"}
        assert index.row(1) == {"text": "word 1", "old": "moon"}
        assert index.words("sun").rows.tolist() == [[0]]
        assert index.nearest(vectors(4)[2:3], 1).rows[0].tolist() == [2]
        assert index.set_column("old", [0], ["star"]) == 1
        assert index.words("moon").rows.tolist() == [[1, 2, 3]]
        with pytest.raises(UsageError, match="there is no row 9"):
            index.set_column("topic", [1, 9], ["a", "b"])
        with pytest.raises(DataError, match="topic"):
            index.set_column("topic", [1], [object()])
        assert "topic" not in index.row(1)
    assert backend.open(tmp_path / "i").row(2)["topic"] == 3.5


def test_about_is_remembered(backend, tmp_path):
    made(backend, tmp_path / "i").close()
    with backend.open(tmp_path / "i", write=True) as index:
        index.remember(fusion={"c": 10})
    assert backend.open(tmp_path / "i").manifest.about == {"side": "document", "fusion": {"c": 10}}
    with pytest.raises(DataError, match="JSON"):
        backend.build(tmp_path / "x", vectors(3), rows(3), model=MODEL, about={"f": print})


def test_an_update_encodes_what_is_new_or_changed(backend, tmp_path):
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.stack([np.random.default_rng(list(t.encode())).normal(size=8) for t in texts])

    def items(texts):
        return (Item(str(n), {"text": t}, t, f"line {n}") for n, t in enumerate(texts))

    with backend.create(tmp_path / "i", model=MODEL, dimension=8) as index:
        assert vars(update(index, items(["a", "b", "c"]), encode, at_once=2))["added"] == 3
        changes = update(index, items(["a", "B"]), encode, prune=True)
        assert (changes.updated, changes.unchanged, changes.deleted) == (1, 1, 1)
        assert asked == ["a", "b", "c", "B"]
        assert sorted(index.row(s)["text"] for s in index.slots()) == ["B", "a"]


def test_compacting_changes_no_answer(backend, tmp_path):
    made(backend, tmp_path / "i").close()
    index = backend.open(tmp_path / "i", write=True)
    index.delete([str(n) for n in range(0, 40, 3)])
    ask = lambda: [index.key(s) for s in index.nearest(vectors(1, seed=3), 9).rows[0]]  # noqa: E731
    before = ask()
    index.compact()
    assert ask() == before
    assert len(index) == 26


def test_a_reader_sees_what_another_writes(backend, tmp_path):
    writer = made(backend, tmp_path / "i")
    writer.close()
    with backend.open(tmp_path / "i", write=True) as writer, backend.open(tmp_path / "i") as reader:
        assert len(reader) == 40
        passing = [Filter("line", ">=", 38)]
        assert reader.nearest(vectors(1), 9, where=passing).rows.shape == (1, 2)
        writer.add(vectors(1, seed=9), [{"name": "late", "line": 99}], ["late"])
        assert len(reader) == 41
        assert reader.nearest(vectors(1), 9, where=passing).rows.shape == (1, 3)
        assert reader.key(reader.nearest(vectors(1, seed=9), 1).rows[0, 0]) == "late"


# Asked by a model.


def test_a_searcher_works_on_it(backend, tmp_path):
    texts = [f"{verb} the {thing}" for verb in ("parse", "sort", "open") for thing in ("date", "list", "file", "map")]
    encoder = Static.fit({"document": texts}, dimension=16, buckets=64, min_count=1)
    model = Model({"query": encoder, "document": encoder}).eval()
    content = [{"text": text, "verb": text.split()[0]} for text in texts]
    found = model.encode(texts, side="document")
    about = {"side": "document"}
    index = backend.build(tmp_path / "i", found, content, model=model.fingerprint, about=about)
    searcher = Searcher(index, model)
    for mode in ("near", "words", "hybrid"):
        assert searcher.search("sort a list", 3, mode=mode)[0].row["text"] == "sort the list"
    filtered = searcher.search("list", 9, where=[Filter("verb", "=", "open")])
    assert {hit.row["verb"] for hit in filtered} == {"open"}
    assert searcher.like("5", 2)[0].key != "5"
    assert searcher.explain("sort a list", "5").cosine > 0.5
    other = Static.fit({"document": texts}, dimension=16, buckets=64, min_count=1, seed=1)
    with pytest.raises(DataError, match="was made by model"):
        Searcher(index, Model({"document": other}))


# Damage.


def test_what_is_no_index(backend, tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        backend.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no index"):
        backend.open(tmp_path / "empty")


def test_files_that_are_cut_off(backend, tmp_path):
    made(backend, tmp_path / "i").close()
    files = [p for p in (tmp_path / "i").rglob("*") if p.suffix in (".f32", ".lance") and p.is_file()]
    assert files
    for path in files:
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size // 2)
    with pytest.raises(DataError, match="damaged") as caught:
        backend.open(tmp_path / "i")
    assert str(tmp_path / "i") in caught.value.where


WRITES = """
import sys
import numpy as np
from nearfar.search.lance import LanceIndex
with LanceIndex.open(sys.argv[1], write=True) as index:
    while True:
        first = len(index)
        index.add(np.random.normal(size=(50, 8)), [{"n": n} for n in range(50)], [str(first + n) for n in range(50)])
        print(first + 50, flush=True)
"""


class TestLance:
    @pytest.fixture(autouse=True)
    def _installed(self, optional_package):
        optional_package("lancedb")

    def test_rows_that_were_changed_behind_its_back(self, tmp_path):
        made(LanceIndex, tmp_path / "i")
        import lancedb

        lancedb.connect(tmp_path / "i").open_table("rows").update(where="slot = 3", values={"row": '{"name": "false"}'})
        with pytest.raises(DataError, match="the row '3' is not the one that was written"):
            LanceIndex.open(tmp_path / "i")
        assert LanceIndex.open(tmp_path / "i", verify=False).row(3) == {"name": "false"}

    def test_a_foreign_table_is_left_alone(self, tmp_path):
        import lancedb

        lancedb.connect(tmp_path / "i").create_table("rows", [{"a": 1}])
        with pytest.raises(DataError, match="no nearfar index"):
            LanceIndex.open(tmp_path / "i")
        with pytest.raises(DataError, match="no nearfar index"):
            made(LanceIndex, tmp_path / "i")
        assert lancedb.connect(tmp_path / "i").open_table("rows").count_rows() == 1

    def test_a_killed_writer_leaves_whole_changes_only(self, tmp_path):
        LanceIndex.create(tmp_path / "i", model=MODEL, dimension=8)
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES, str(tmp_path / "i")], env=environment, stdout=subprocess.PIPE, text=True
        )
        with writer:
            for _ in range(3):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        with LanceIndex.open(tmp_path / "i", write=True) as index:
            assert len(index) % 50 == 0
            assert len(index) >= acknowledged
            assert sorted(map(int, index.all_keys())) == list(range(len(index)))
            before = len(index)
            index.add(vectors(1), rows(1), ["after"])
            assert len(index) == before + 1

    @pytest.mark.parametrize("place", ["table", "file://{}/store"])
    def test_from_the_command_line(self, place, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        texts = [f"{verb} the {thing}" for verb in ("parse", "sort") for thing in ("date", "list", "map")]
        encoder = Static.fit({"document": texts}, dimension=16, buckets=64, min_count=1)
        Model({"query": encoder, "document": encoder}).save("model")
        Path("my.jsonl").write_text("".join(json.dumps({"code": text}) + "\n" for text in texts))
        place = place.format(tmp_path)
        words = ["index", "model", "my.jsonl", "--column", "code", "--out", place, "--quiet"]
        assert main([*words, "--backend", "lance"]) == 0
        assert "6 records" in capsys.readouterr().out
        assert main(words) == 0
        assert "6 unchanged" in capsys.readouterr().out
        assert main(["search", place, "sort a list", "--k", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["text"] == "sort the list"
        assert main([*words, "--backend", "files"]) == 2
        assert "the index has backend lance, not files" in capsys.readouterr().err
        assert main(["search", place + "r", "sort"]) == 3
        assert main(["search", "my.jsonl", "sort"]) == 3

    def test_another_dtype_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="float32, not 'int8'"):
            LanceIndex.create(tmp_path / "i", model=MODEL, dimension=8, dtype="int8")

    def test_blocks_do_not_matter(self, tmp_path, monkeypatch):
        monkeypatch.setattr("nearfar.search.lance_table.BLOCK", 7)
        index = made(LanceIndex, tmp_path / "i")
        assert (index.nearest(vectors(3, seed=1), 5).rows == brute_force(vectors(3, seed=1), vectors(), 5)[0]).all()
        with pytest.raises(UsageError, match="given twice"):
            LanceIndex.build(tmp_path / "j", vectors(20), rows(20), model=MODEL, keys=[str(n % 19) for n in range(20)])


def test_without_lancedb_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)  # as if it were not installed
    with pytest.raises(ResourceError, match="lancedb") as caught:
        made(LanceIndex, tmp_path / "i")
    assert "nearfar[lance]" in caught.value.remedy
    assert isinstance(caught.value, NearfarError)
