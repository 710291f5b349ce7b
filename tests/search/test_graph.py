"""Large indexes: a graph chooses candidates, whatever is outside of it is searched too, and it may be thrown away at any time."""

import numpy as np
import pytest

from nearfar.search import views
from nearfar.search.filters import Filter
from nearfar.search.graph import Graph
from nearfar.search.index import Index

MODEL = "model-one"


def clustered(n, seed=0, d=32):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(50, d))
    return (centres[rng.integers(0, 50, n)] + 0.6 * rng.normal(size=(n, d))).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What is large here: 500 rows; 200 may be outside."""
    monkeypatch.setattr(views, "EXACT", 500)
    monkeypatch.setattr(views, "OUTSIDE", 200)


def rows(n):
    return [{"n": i, "third": i % 3 == 0, "rare": i % 400 == 0} for i in range(n)]


def exact(table, queries, k, allowed=None):
    unit = table / np.linalg.norm(table, axis=1)[:, None]
    scores = queries / np.linalg.norm(queries, axis=1)[:, None] @ unit.T
    if allowed is not None:
        scores[:, ~allowed] = -2
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found, expected):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_graph_finds_nearly_all_and_scores_exactly(tmp_path, dtype):
    table, queries = clustered(3000), clustered(40, seed=1)
    index = Index.build(tmp_path / "i", table, rows(3000), model=MODEL, dtype=dtype)
    assert (tmp_path / "i" / "graph.usearch").exists()
    assert index.view().graph is not None
    hits = index.nearest(queries, 10)
    assert recall(hits.rows, exact(table, queries, 10)) > 0.95
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    vectors = index.vectors(hits.rows[0])
    assert hits.scores[0] == pytest.approx(vectors @ queries[0] / np.linalg.norm(queries[0]), abs=1e-6)


def test_a_graph_of_other_vectors_is_not_believed(tmp_path):
    Index.build(tmp_path / "a", clustered(1000), rows(1000), model=MODEL).close()
    Index.build(tmp_path / "b", clustered(1000, seed=5), rows(1000), model=MODEL).close()
    for name in ("graph.usearch", "graph.json"):
        (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())
    index = Index.open(tmp_path / "b")
    assert index.view().graph is None  # every row is looked at instead
    queries = clustered(5, seed=1)
    assert (index.nearest(queries, 10).rows == exact(clustered(1000, seed=5), queries, 10)).all()


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "junk"])
def test_a_lost_or_damaged_graph_costs_time_only(tmp_path, damage):
    table = clustered(1000)
    Index.build(tmp_path / "i", table, rows(1000), model=MODEL).close()
    path = tmp_path / "i" / "graph.usearch"
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "junk": b"x" * 10_000}[damage])
    index = Index.open(tmp_path / "i")
    queries = clustered(5, seed=1)
    assert (index.nearest(queries, 10).rows == exact(table, queries, 10)).all()
    index.close()
    with Index.open(tmp_path / "i", write=True) as index:
        assert index.view().graph is not None, "a writer makes it anew"


def test_what_is_added_is_found_before_the_graph_knows_it(tmp_path):
    table = clustered(1500)
    with Index.create(tmp_path / "i", model=MODEL, dimension=32) as index:
        covered = []
        for start in range(0, 1500, 100):
            index.add(table[start : start + 100], rows(1500)[start : start + 100])
            covered.append(index.view().graph.covered if index.view().graph else 0)
            last = table[start + 99][None]
            assert index.nearest(last, 1).rows[0, 0] == start + 99
    assert covered[:5] == [0] * 5
    assert covered[5] == 600
    assert len(set(covered)) < 8, "not at every change"
    index = Index.open(tmp_path / "i")
    assert index.view().graph.covered == max(covered)
    queries = clustered(30, seed=1)
    assert recall(index.nearest(queries, 10).rows, exact(table, queries, 10)) > 0.95


def test_deleted_rows_are_never_found_and_others_take_their_place(tmp_path):
    table, queries = clustered(1500), clustered(20, seed=1)
    Index.build(tmp_path / "i", table, rows(1500), model=MODEL).close()
    gone = np.unique(exact(table, queries, 10))
    alive = np.ones(1500, dtype=bool)
    alive[gone] = False
    with Index.open(tmp_path / "i", write=True) as index:
        assert index.delete(map(str, gone)) == len(gone)
        found = index.nearest(queries, 10).rows
        assert not set(gone.tolist()) & set(found.ravel().tolist())
        assert recall(found, exact(table, queries, 10, alive)) > 0.95
        assert index.compact() == len(gone)
        again = index.nearest(queries, 10)
        assert index.view().graph.covered == 1500 - len(gone)
        assert recall(again.rows, exact(table[alive], queries, 10)) > 0.95


@pytest.mark.parametrize(("column", "few"), [("third", 600), ("rare", 5)])
def test_filters_over_a_graph(tmp_path, monkeypatch, column, few):
    monkeypatch.setattr(views, "EXACT", 550)
    table, queries = clustered(1800), clustered(20, seed=1)
    index = Index.build(tmp_path / "i", table, rows(1800), model=MODEL)
    allowed = np.array([row[column] for row in rows(1800)])
    assert allowed.sum() == few
    hits = index.nearest(queries, 5, where=[Filter(column, "=", True)])
    expected = exact(table, queries, 5, allowed)
    assert allowed[hits.rows].all()
    assert recall(hits.rows, expected) > 0.95
    assert recall(index.nearest(queries, 5).rows, expected) < 0.9


def test_a_half_written_graph_is_never_read(tmp_path, monkeypatch):
    Index.build(tmp_path / "i", clustered(600), rows(600), model=MODEL).close()

    def dies(*_):
        raise KeyboardInterrupt

    with Index.open(tmp_path / "i", write=True) as index:
        monkeypatch.setattr("nearfar.search.graph.os.replace", dies)
        with pytest.raises(KeyboardInterrupt):
            index.add(clustered(400, seed=3), rows(400), [f"x{i}" for i in range(400)])
    monkeypatch.undo()
    index = Index.open(tmp_path / "i")
    assert len(index) == 1000, "the rows were complete"
    graph = Graph.load(tmp_path / "i", index.view().vectors, 32)
    assert graph is not None
    assert graph.covered == 600
