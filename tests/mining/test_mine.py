"""Mining: the negatives that the rules of `mine` name, never a right answer; the same after a kill, and nothing lost by one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.data.lazy import lazy_pairs
from nearfar.data.pairs import pairs
from nearfar.data.records import Records
from nearfar.mining import candidates as mine_candidates
from nearfar.mining.mine import mine

N = 60


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


class Known:
    """A model whose vectors are functions of the text; counts what it is asked."""

    def __init__(self, seed=0, dimension=8, similarity="cosine", scale=1):
        self.seed, self.dimension, self.similarity, self.scale, self.asked = seed, dimension, similarity, scale, []
        self.known = {}

    def encode(self, texts, side):
        self.asked.append((side, tuple(texts)))
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text):
        if text not in self.known:
            noise = np.random.default_rng([self.seed, *text.encode()]).normal(size=self.dimension)
            topic = np.random.default_rng([self.seed, *text.split()[-1].encode()]).normal(size=self.dimension)
            self.known[text] = (self.scale * (topic + 0.5 * noise)).astype(np.float32)
        return self.known[text]


def data(n=N, per_query=1):
    """Pairs of six topics; with per_query > 1 a query has several positives, and all share some."""
    return [(f"q{i // per_query} topic{i % 6}", f"d{i} topic{i % 6}") for i in range(n)]


def written(made):
    return [json.loads(line) for line in made.path.read_text("utf-8").splitlines()]


def naive(model, table, *, corpus=(), per_query=5, ranks=(10, 100), absolute=None, relative=None, guide=None):
    """The rules as loops over all documents, in float64."""
    documents = list(dict.fromkeys([d for _, d in table] + list(corpus)))

    def score(of, a, b):
        x, y = of.vector(a).astype(np.float64), of.vector(b).astype(np.float64)
        return x @ y / ((x @ x) * (y @ y)) ** 0.5 if of.similarity == "cosine" else x @ y

    answers = {}
    for query in dict.fromkeys(q for q, _ in table):
        positives = [d for q, d in table if q == query]
        lowest = min(score(model, query, d) for d in positives)
        ranked = sorted(
            (d for d in documents if d not in positives and d != query), key=lambda d: -score(model, query, d)
        )
        left = ranked[ranks[0] : ranks[1]]
        if absolute is not None:
            left = [d for d in left if score(model, query, d) <= lowest - absolute]
        if relative is not None:
            left = [d for d in left if score(model, query, d) <= lowest - relative * abs(lowest)]
        if guide is not None:
            limit = min(score(guide, query, d) for d in positives)
            left = [d for d in left if score(guide, query, d) <= limit]
        answers[query] = left[:per_query]
    return [answers[q] for q, _ in table]


# What is mined.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ranks": (0, 5)},
        {"ranks": (0, 60), "margin_absolute": 0.1},
        {"ranks": (0, 60), "margin_relative": 0.05},
        {"ranks": (3, 20), "margin_relative": 0.3, "margin_absolute": 0.2},
        {"ranks": (0, 12), "per_query": 12},
        {"ranks": (50, 70)},
    ],
)
@pytest.mark.parametrize("per_query", [1, 4])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_negatives_are_those_of_the_rules(tmp_path, settings, per_query, similarity):
    model, table = Known(similarity=similarity), data(per_query=per_query)
    made = mine(model, table, tmp_path / "m.jsonl", chunk=23, **settings)
    expected = {k.removeprefix("margin_"): v for k, v in settings.items()}
    lines = written(made)
    assert [line["negatives"] for line in lines] == naive(model, table, **expected)
    assert [(line["query"], line["document"]) for line in lines] == table
    assert made.counts["negatives"] > 0


def test_ranks_after_the_margins_would_be_seen(tmp_path):
    """What sentence-transformers does: skip `low` of those that the margin left."""
    model, table = Known(), data()
    lines = written(mine(model, table, tmp_path / "m.jsonl", ranks=(5, 60), margin_relative=0.05))
    moved = [left[5:10] for left in naive(model, table, ranks=(0, 60), relative=0.05, per_query=60)]
    assert [line["negatives"] for line in lines] != moved


def test_a_negative_score_of_the_positive_is_no_higher_limit(tmp_path):
    class Opposite(Known):
        def encode(self, texts, side):
            return np.array(
                [[1.0, 0.0]] if side == "query" else [[-0.5, 3**0.5 / 2], [-0.49, 0.8717], [-0.9, 0.43589]]
            )[: len(texts)]

    table = [("q", "positive"), ("q", "positive")]
    records = Records({"query": [q for q, _ in table], "document": [d for _, d in table]})
    made = mine(
        Opposite(),
        records,
        tmp_path / "m.jsonl",
        corpus=["near", "far"],
        ranks=(0, 5),
        margin_relative=0.05,
        per_query=2,
    )
    # 0.95 times -0.5 is -0.475, below which even the nearer one lies.
    assert written(made)[0]["negatives"] == ["far"]


@pytest.mark.parametrize("kind", ["model", "function"])
def test_the_guide_has_its_say(tmp_path, kind):
    model, guide, table = Known(), Known(seed=5), data(per_query=3)

    def cross(queries, documents):
        unit = [[v / np.linalg.norm(v) for v in map(guide.vector, texts)] for texts in (queries, documents)]
        return np.array([x @ y for x, y in zip(*unit, strict=True)])

    made = mine(model, table, tmp_path / "m.jsonl", ranks=(0, 40), guide=guide if kind == "model" else cross, chunk=23)
    expected = naive(model, table, ranks=(0, 40), guide=guide)
    assert [line["negatives"] for line in written(made)] == expected
    assert expected != naive(model, table, ranks=(0, 40))
    assert made.counts["dropped"]["guide"] > 0


def test_no_right_answer_and_no_equal_text_is_ever_a_negative(tmp_path):
    table = [("a", "b"), ("a", "c"), ("b", "a"), ("x", "x"), ("x", "y"), ("a", "c"), ("z", "b")]
    made = mine(Known(), table, tmp_path / "m.jsonl", corpus=["c", "new", "a", "z"], ranks=(0, 50), per_query=20)
    for line in written(made):
        allowed = {"b", "c", "a", "x", "y", "new", "z"} - {d for q, d in table if q == line["query"]} - {line["query"]}
        assert set(line["negatives"]) == allowed
        assert len(line["negatives"]) == len(allowed)
    assert made.counts["documents"] == 7
    assert made.counts["queries"] == 4
    assert made.counts["dropped"]["own_positives"] == 6  # b c of a, a of b, x y of x, b of z
    assert made.counts["dropped"]["own_text"] == 3  # of a, b and z; x is its own positive
    assert made.counts["fewer"] == 4


def test_negatives_that_the_data_has_stay_first(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"query": q, "document": d, "negatives": ["mine own", "d30 topic0"] if i == 0 else []}
        for i, (q, d) in enumerate(data())
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    lines = written(mine(Known(), path, tmp_path / "m.jsonl", ranks=(0, 60)))
    found = naive(Known(), data(), ranks=(0, 60))
    assert lines[0]["negatives"] == list(dict.fromkeys(["mine own", "d30 topic0", *found[0]]))
    assert lines[1]["negatives"] == found[1]


def test_random_ones_belong_to_query_and_document(tmp_path):
    def drawn(name, table, **settings):
        settings = {"chunk": 23, "seed": 0, "ranks": (0, 30)} | settings
        return {
            line["query"]: line["negatives"]
            for line in written(mine(Known(), table, tmp_path / f"{name}.jsonl", sampling="random", **settings))
        }

    table = data()
    first = drawn("a", table)
    assert drawn("b", table, chunk=50) == first
    assert drawn("c", table[::-1], chunk=19) == first
    assert drawn("d", table, seed=1) != first
    window = {q: w for (q, _), w in zip(table, naive(Known(), table, ranks=(0, 30), per_query=30), strict=True)}
    places = [window[q].index(d) for q, negatives in first.items() for d in negatives]
    assert 12 < np.mean(places) < 17  # of 30, each as likely; the top ones would give 2
    assert all(sorted(window[q].index(d) for d in n) == [window[q].index(d) for d in n] for q, n in first.items())


def test_what_each_filter_dropped_adds_up(tmp_path):
    settings = {"ranks": (4, 40), "margin_absolute": 0.05, "margin_relative": 0.2, "guide": Known(seed=5)}
    counts = mine(Known(), data(), tmp_path / "m.jsonl", chunk=19, **settings).counts
    dropped = counts["dropped"]
    assert dropped["above_ranks"] == 4 * N
    in_window = N * 36
    assert in_window == counts["negatives"] + sum(
        dropped[k] for k in ("margin_absolute", "margin_relative", "guide", "not_sampled")
    )
    assert all(dropped[k] > 0 for k in ("margin_absolute", "margin_relative", "guide", "not_sampled"))
    about = json.loads((tmp_path / "m.about.json").read_text())
    assert about["counts"] == counts
    assert about["settings"]["margin_relative"] == 0.2


def test_too_few_candidates_are_reported_and_a_query_without_a_vector_gets_none(tmp_path):
    class Blind(Known):
        def vector(self, text):
            return super().vector(text) * (text != "q7 topic1")

    counts = mine(Blind(), data(), tmp_path / "m.jsonl", ranks=(56, 70)).counts
    assert counts["without_vector"] == counts["none"] == 1
    assert counts["fewer"] == N  # ranks 56 to 58 are all there are
    assert counts["negatives"] == 3 * (N - 1)


def test_the_result_is_what_train_reads(tmp_path):
    made = mine(Known(), data(), tmp_path / "m.jsonl")
    table = pairs(made.path)
    assert table.queries == [q for q, _ in data()]
    assert table.negatives == naive(Known(), data())
    assert not table.notes
    assert list(lazy_pairs(made.path).fields["negatives"]) == table.negatives


def test_half_precision_halves_the_room_and_hardly_moves_the_result(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        mine_candidates.Stored,
        "take",
        lambda self, n, take=mine_candidates.Stored.take: (
            sizes.append(self._work.array("documents-0.npy").dtype) or take(self, n)
        ),
    )
    lines = written(mine(Known(), data(), tmp_path / "m.jsonl", precision="float16"))
    same = [len(set(a["negatives"]) & set(b)) for a, b in zip(lines, naive(Known(), data()), strict=True)]
    assert np.mean(same) > 4.8
    assert set(sizes) == {np.dtype("float16")}


# A search of the user's own.


@pytest.mark.parametrize("margin", [None, 0.05])
def test_a_search_of_ones_own(tmp_path, margin):
    model = Known()
    corpus = [f"c{i} topic{i % 6}" for i in range(80)] + ["d3 topic3", "c1 topic1"]
    unit = np.stack([model.vector(t) / np.linalg.norm(model.vector(t)) for t in corpus])

    def search(vectors, k):
        scores = vectors @ unit.T
        places = np.argsort(-scores, axis=1)[:, : k - 1]
        scores = np.take_along_axis(scores, places, 1)
        return np.pad(places, ((0, 0), (0, 1)), constant_values=-1), np.pad(scores, ((0, 0), (0, 1)))

    settings = {"corpus": corpus, "ranks": (2, 30)}
    made = mine(model, data(), tmp_path / "m.jsonl", search=search, margin_relative=margin, **settings)
    table = [(q, d) for q, d in data()]
    documents = list(dict.fromkeys(corpus))
    expected = []
    for query, document in table:
        x = model.vector(query) / np.linalg.norm(model.vector(query))
        score = {d: float(x @ (model.vector(d) / np.linalg.norm(model.vector(d)))) for d in [*documents, document]}
        ranked = sorted((d for d in documents if d != document), key=lambda d: -score[d])[2:30]
        limit = score[document] - abs(score[document]) * margin if margin is not None else np.inf
        expected.append([d for d in ranked if score[d] <= limit][:5])
    assert [line["negatives"] for line in written(made)] == expected
    assert not [texts for side, texts in model.asked if side == "document" and len(texts) > 8 and "c5 topic5" in texts]


# Bad input.


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"per_query": 0}, "asks for nothing"),
        ({"ranks": (5, 5)}, "no candidate"),
        ({"ranks": (-1, 5)}, "no candidate"),
        ({"ranks": (0, 4)}, "fewer than per_query"),
        ({"margin_relative": -0.1}, "makes no sense"),
        ({"margin_absolute": float("nan")}, "makes no sense"),
        ({"chunk": 0}, "chunk=0"),
        ({"search": lambda v, k: v}, "needs the corpus"),
        ({"search": lambda v, k: v, "corpus": []}, "needs the corpus"),
        ({"model": Known(scale=1e6, similarity="dot"), "precision": "float16"}, "too large for float16"),
        ({"corpus": "a text"}, "one string"),
        ({"corpus": ["fine", ""]}, "the text is empty"),
        ({"guide": lambda q, d: np.zeros(3)}, "the guide gave"),
        (
            {"search": lambda v, k: (np.full((len(v), k), 99), np.zeros((len(v), k))), "corpus": ["a"]},
            "beyond the corpus",
        ),
    ],
)
def test_settings_that_make_no_sense(tmp_path, settings, part):
    (tmp_path / "m.jsonl").write_text("old")
    with pytest.raises(NearfarError) as caught:
        mine(**{"model": Known(), "data": data(), "out": tmp_path / "m.jsonl"} | settings)
    assert part in str(caught.value)
    assert caught.value.remedy
    assert (tmp_path / "m.jsonl").read_text() == "old"


def test_places_that_are_refused(tmp_path):
    with pytest.raises(UsageError, match="jsonl"):
        mine(Known(), data(), tmp_path / "m.csv")
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"query": q, "document": d}) + "\n" for q, d in data()))
    with pytest.raises(UsageError, match="replace the data"):
        mine(Known(), path, tmp_path / "." / "pairs.jsonl")
    (tmp_path / "m.about.json").write_text('{"format": "of somebody"}')
    with pytest.raises(DataError, match="no nearfar-mined"):
        mine(Known(), path, tmp_path / "m.jsonl")
    (tmp_path / "n.jsonl.work").mkdir()
    (tmp_path / "n.jsonl.work" / "thesis.txt").write_text("dear")
    with pytest.raises(UsageError, match="something else"):
        mine(Known(), path, tmp_path / "n.jsonl")
    assert (tmp_path / "n.jsonl.work" / "thesis.txt").read_text() == "dear"


def test_vectors_that_are_not_finite_are_named(tmp_path):
    class Sick(Known):
        def vector(self, text):
            return super().vector(text) * (np.nan if text == "d40 topic4" else 1)

    with pytest.raises(DataError, match="not finite") as caught:
        mine(Sick(), data(), tmp_path / "m.jsonl")
    assert "document 'd40 topic4'" in caught.value.where
    with pytest.raises(UsageError, match=r"shape \[60\]"):
        mine(
            type("Flat", (), {"fingerprint": "f", "encode": lambda self, t, side: np.ones(len(t))})(),
            data(),
            tmp_path / "n.jsonl",
        )


# Interrupted.


class Stops(Known):
    """Raises at the n-th piece of work after its fingerprint."""

    fingerprint = "known"

    def __init__(self, after):
        super().__init__()
        self.after = after

    def encode(self, texts, side):
        if len(self.asked) == self.after:
            raise KeyboardInterrupt
        return super().encode(texts, side)


def test_interrupted_anywhere_and_resumed_the_result_is_the_same(tmp_path):
    settings = {"chunk": 21, "ranks": (0, 30), "sampling": "random", "margin_relative": 0.1, "guide": Known(seed=5)}
    whole = Stops(-1)
    made = mine(whole, data(), tmp_path / "whole.jsonl", **settings)
    pieces = len(whole.asked)
    assert pieces == 2 * -(-N // 21)
    for after in range(pieces):
        out = tmp_path / f"m{after}.jsonl"
        out.write_text("older")
        with pytest.raises(KeyboardInterrupt):
            mine(Stops(after), data(), out, **settings)
        assert out.read_text() == "older"
        with pytest.raises(UsageError, match="unfinished work lies here"):
            mine(Stops(-1), data(), out, **settings)
        second = Stops(-1)
        mine(second, data(), out, resume=True, **settings)
        assert len(second.asked) == pieces - after  # nothing finished is done again
        assert out.read_bytes() == made.path.read_bytes()
        about = [json.loads(p.read_text()) for p in (tmp_path / f"m{after}.about.json", made.description)]
        assert about[0] == about[1]
        assert not (tmp_path / f"m{after}.jsonl.work").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "settings"),
        ({"ranks": (0, 31)}, "settings"),
        ({"chunk": 22}, "settings"),
        ({"guide": Known(seed=6)}, "guide"),
        ({"corpus": ["more"]}, "corpus"),
        ({"data": data()[:-1]}, "data"),
        ({"model": Known(seed=3)}, "model"),
    ],
)
def test_changed_work_is_not_gone_on_with(tmp_path, change, what):
    settings = {"data": data(), "chunk": 21, "ranks": (0, 30), "sampling": "random", "guide": Known(seed=5)}
    with pytest.raises(KeyboardInterrupt):
        mine(Stops(3), out=tmp_path / "m.jsonl", **settings)
    settings = {"model": Stops(-1), **settings, **change}
    with pytest.raises(UsageError, match=f"begun with another {what}") as caught:
        mine(out=tmp_path / "m.jsonl", resume=True, **settings)
    assert "delete this folder" in caught.value.remedy


def test_a_model_without_a_fingerprint_is_known_by_its_vectors(tmp_path):
    class Once(Known):
        def encode(self, texts, side):
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().encode(texts, side)

    with pytest.raises(KeyboardInterrupt):
        mine(Once(), data(), tmp_path / "m.jsonl", chunk=21)
    with pytest.raises(UsageError, match="another model"):
        mine(Known(seed=1), data(), tmp_path / "m.jsonl", chunk=21, resume=True)
    mine(Known(), data(), tmp_path / "m.jsonl", chunk=21, resume=True)


SLOW = """
import sys, time
import numpy as np
from nearfar.mining.mine import mine

class Slow:
    fingerprint, asked, pause = "slow", 0, 0

    def encode(self, texts, side):
        Slow.asked += 1
        print(side, flush=True)
        time.sleep(self.pause)
        return np.stack([np.random.default_rng(list(t.encode())).normal(size=32) for t in texts])

def work(out):
    mine(Slow(), [(f"q{i}", f"d{i}") for i in range(60)], out, chunk=10, ranks=(0, 20), resume=True)
"""


def slow():
    names = {}
    exec(SLOW, names)  # the very lines that the process below runs
    return names["Slow"], names["work"]


def test_killed_and_resumed(tmp_path):
    out = tmp_path / "m.jsonl"
    out.write_text("older")
    path = os.pathsep.join(filter(None, [str(Path(mine_candidates.__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", SLOW + "Slow.pause = 0.02\nwork(sys.argv[1])", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}) as process:
        for _ in range(8):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert out.read_text() == "older"
    model, work = slow()
    work(out)
    assert model.asked <= 12 - 7  # what was finished stayed so
    whole, work = slow()
    work(tmp_path / "whole.jsonl")
    assert whole.asked == 12
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(("room", "asked"), [(100, 12), (1_200, 13), (2_000, 12)])
def test_a_full_disk_costs_nothing_that_was_there(tmp_path, room, asked):
    """No file may grow beyond `room` bytes: the plan, the first vectors or the result do not fit."""
    import resource

    out = tmp_path / "m.jsonl"
    out.write_text("older")
    model, work = slow()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(ResourceError, match="cannot be written") as caught:
            work(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "m.jsonl.work" in caught.value.where
    assert out.read_text() == "older"
    assert not list(out.parent.glob("m.jsonl.work/*.unfinished*"))
    work(out)
    assert model.asked == asked  # what was finished stayed so
    work(tmp_path / "whole.jsonl")
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
