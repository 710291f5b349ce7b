"""The benchmark of searching runs every side that is installed, counts recall rightly, goes on where it was, and is told by medians."""

import numpy as np
import pytest

from static.test_benchmarks import module


@pytest.fixture
def program():
    return module("search")


def small(program, queries=40):
    return program.World(dimension=32, queries=queries, single=10)


def test_recall_is_the_share_of_the_true_nearest(program):
    truth = np.array([[1, 2], [3, 4]])
    assert program.recall(np.array([[2, 1], [3, 9]]), truth) == 0.75
    assert program.recall(np.array([[2, -1], [-1, -1]]), truth) == 0.25
    assert program.recall(truth[::-1], truth) == 0  # known bad: the queries exchanged


def test_every_side_finds_the_nearest_and_keeps_its_index(program, tmp_path):
    world = small(program)
    program.make_files(world, 2_000, tmp_path)
    vectors, queries = np.load(tmp_path / "vectors.npy"), np.load(tmp_path / "queries.npy")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    near = np.load(tmp_path / "nearest.npy")
    assert [set(row) for row in near] == [set(row) for row in np.argsort(-(queries @ vectors.T), axis=1)[:, :10]]
    installed = [side for side, kind in program.SIDES.items() if program._installed(kind)]
    assert {"nearfar", "usearch exact", "usearch graph"} <= set(installed)
    for side in installed:
        for again in (False, True):
            bench = program.Bench(side)
            facts = bench.answer({"do": "prepare", "folder": str(tmp_path)})
            assert facts["build_seconds"] > 0
            ask = {"do": "search", "folder": str(tmp_path), "single": 10, "candidates": bench.side.candidates[-1]}
            one, together = (bench.answer({**ask, "asked": asked}) for asked in (program.ONE, program.TOGETHER))
            assert (one["queries"], together["queries"]) == (10, 40)
            assert together["recall"] > (0.9 if "graph" in side else 0.999), (side, again)
            bench.nearest = bench.nearest[::-1]  # known bad: the truth of other queries
            assert bench.answer({**ask, "asked": program.TOGETHER})["recall"] < 0.5


def test_a_run_goes_on_with_the_rounds_that_are_missing(program, tmp_path, monkeypatch):
    asked = []

    class Worker:
        def __init__(self, script, name):
            self.name = name

        def ask(self, do, **message):
            asked.append(do)
            facts = {"build_seconds": 1.0, "build_mb": 1.0, "held_mb": 1.0, "disk_mb": 1.0}
            return facts if do == "prepare" else {"seconds": 2.0, "queries": 10, "recall": 1.0}

        def close(self):
            pass

    monkeypatch.setattr(program, "Worker", Worker)
    monkeypatch.setattr(program, "SIDES", {"nearfar": program.Nearfar})

    def run(runs):
        asked.clear()
        record = program.Record(tmp_path / "search.json", "search", program.KEY, {}, fresh=False)
        program.run_size(record, small(program), 300, runs, tmp_path / "work")
        return record

    assert [len(row["seconds"]) for row in run(2).rows] == [2, 2]
    assert asked.count("search") == 6, "a round that is not counted, and two; two ways of asking"
    run(2)
    assert asked == []
    assert [len(row["seconds"]) for row in run(3).rows] == [3, 3]
    assert asked.count("search") == 4


def row(side, recall, seconds, candidates=0, **more):
    facts = {
        "vectors": 1_000_000,
        "asked": "one at a time",
        "queries": 100,
        "build_seconds": 60.0,
        "held_mb": 900.0,
        "session": 0,
    }
    return {"side": side, "recall": recall, "seconds": seconds, "candidates": candidates, **facts, **more}


def test_the_section_compares_at_equal_recall_by_medians(program):
    pages, section = module("benchmarks", "docs"), module("benchmarks_search", "docs")
    rows = [
        row("nearfar", 0.95, [0.12, 9.0, 0.12]),
        row("usearch graph", 0.90, [0.05] * 3, 64),
        row("usearch graph", 0.9495, [0.1] * 3, 128),
        row("usearch graph", 0.99, [0.2] * 3, 256),
        row("usearch exact", 1.0, [0.4] * 3),
    ]
    record = {"rows": rows, "sessions": [pages.records()["encode"]["sessions"][0]]}
    text = "\n".join(section.searching(record, pages.table, pages.origin))
    assert (
        "nearfar takes 1.20 of the time of bare usearch at equal recall (usearch graph; at most 1.3: reached)" in text
    )
    assert "| nearfar |  | 0.9500 | 833 | 1.00 | 60.0 | 900 |" in text
    record["rows"][0]["seconds"] = [0.2] * 3
    assert "**not reached**" in "\n".join(section.searching(record, pages.table, pages.origin))
    record["rows"][0]["recall"] = 1.0
    more = "\n".join(section.searching(record, pages.table, pages.origin))
    assert (
        "nearfar takes 0.50 of the time of bare usearch at equal recall (usearch exact; at most 1.3: reached)" in more
    )
    assert "The graph that finds most, 0.9900, takes 1.00 of nearfar's time." in more, "what exactness costs is told"
    assert "Not measured yet" in section.searching(None, pages.table, pages.origin)[1]
