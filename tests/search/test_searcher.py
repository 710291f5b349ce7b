"""Asking an index in words: rankings joined, filtered, reranked, explained; and what keeps it up to date."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.search.explain import explanation, pieces
from nearfar.search.filters import Filter, parse
from nearfar.search.fusion import Fusion, fused
from nearfar.search.index import Index
from nearfar.search.rerank import reranker
from nearfar.search.searcher import Searcher
from nearfar.search.tune import tune_fusion
from nearfar.search.update import Changes, Item, update
from small_world import QUICK, world


def trained(folder, seed=0):
    return nf.train("pairs", data=world(), settings=QUICK, seed=seed, progress=False, out=folder / "run")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("model"))


@pytest.fixture
def texts():
    return [answer for _, answer in world()][:30]


@pytest.fixture
def searcher(tmp_path, model, texts):
    rows = [{"text": text, "even": number % 2 == 0} for number, text in enumerate(texts)]
    vectors = model.encode(texts, side="document")
    keys = [f"k{n}" for n in range(30)]
    index = Index.build(tmp_path / "i", vectors, rows, model=model.fingerprint, about={"side": "document"}, keys=keys)
    return Searcher(index, model)


def test_words_are_looked_up_while_vectors_are_compared(searcher, texts, monkeypatch):
    begun, words, nearest = Event(), searcher.index.words, searcher.index.nearest
    expected = searcher.search(texts[4], 5)

    def looked_up(*given, **more):
        begun.set()
        return words(*given, **more)

    def compared(*given, **more):
        assert begun.wait(30), "one waits for the other"
        return nearest(*given, **more)

    monkeypatch.setattr(searcher.index, "words", looked_up)
    monkeypatch.setattr(searcher.index, "nearest", compared)
    assert searcher.search(texts[4], 5) == expected
    # Under a filter one after the other, so that only one of them reads all rows for it.
    begun.clear()

    def compared_first(*given, **more):
        assert not begun.wait(0.3), "both read at once"
        return nearest(*given, **more)

    monkeypatch.setattr(searcher.index, "nearest", compared_first)
    assert searcher.search(texts[4], 5, where=[Filter("even", "=", True)])
    assert begun.is_set()
    monkeypatch.setattr(searcher.index, "nearest", nearest)

    def fails(*given, **more):
        raise DataError("damaged", where="words")

    monkeypatch.setattr(searcher.index, "words", fails)
    with pytest.raises(DataError, match="damaged"):
        searcher.search(texts[4], 5)


def test_both_rankings_are_joined_as_the_formula_says(searcher, texts):
    query = texts[4]
    found = searcher.search(query, 5)
    near = {hit.slot: hit.near_rank for hit in searcher.search(query, 30, mode="near")}
    words = {hit.slot: hit.words_rank for hit in searcher.search(query, 30, mode="words")}
    scores = {slot: 1 / (60 + near[slot]) + (1 / (60 + words[slot]) if slot in words else 0) for slot in near}
    expected = sorted(scores, key=lambda slot: (-scores[slot], slot))[:5]
    assert [hit.slot for hit in found] == expected
    assert found[0].slot == 4
    for hit in found:
        assert hit.score == pytest.approx(scores[hit.slot])
        assert (hit.near_rank, hit.words_rank) == (near[hit.slot], words.get(hit.slot))
        assert hit.row["text"] == texts[hit.slot]
        assert hit.key == f"k{hit.slot}"


def test_adding_scores_that_share_no_scale_would_be_seen(searcher, texts):
    def summed(hits):
        return sorted(hits, key=lambda hit: -((hit.cosine or 0) + (hit.words or 0)))

    found = [searcher.search(text, 30) for text in texts]
    assert any([h.slot for h in hits] != [h.slot for h in summed(hits)] for hits in found)


def test_one_ranking_alone(searcher, model, texts):
    near = searcher.search(texts[7], 3, mode="near")
    cosines = model.encode(texts, side="document") @ model.encode([texts[7]], side="query")[0]
    assert [h.slot for h in near] == np.argsort(-cosines, kind="stable")[:3].tolist()
    assert [h.near_rank for h in near] == [1, 2, 3]
    assert all(h.words is None and h.score == h.cosine for h in near)
    words = searcher.search("badger", 3, mode="words")
    assert all("badger" in h.row["text"] and h.cosine is None and h.score == h.words for h in words)
    assert searcher.search("zzzz", 3, mode="words") == []


def test_filters_hold_in_every_mode(searcher, texts):
    for mode in ("hybrid", "near", "words"):
        found = searcher.search(texts[3], 30, mode=mode, where=[Filter("even", "=", True)])
        assert found
        assert all(h.row["even"] for h in found)
        assert any(not h.row["even"] for h in searcher.search(texts[3], 30, mode=mode))


def test_several_at_once_are_as_one_after_the_other(searcher, texts):
    asked = [texts[0], "badger", texts[9]]
    assert searcher.search_many(asked, 4) == [searcher.search(text, 4) for text in asked]


def test_what_cannot_be_asked(searcher):
    for text, options, match in [
        ("", {}, "empty"),
        ("  ", {}, "empty"),
        ("x", {"mode": "both"}, "no mode"),
        ("x", {"k": 0}, "k=0"),
    ]:
        with pytest.raises(UsageError, match=match):
            searcher.search(text, **options)
    with pytest.raises(UsageError, match="no record 'nobody'"):
        searcher.like("nobody")


def test_another_model_is_refused(searcher, tmp_path):
    other = trained(tmp_path, seed=9)
    with pytest.raises(DataError, match="cannot be compared"):
        Searcher(searcher.index, other)


def test_more_like_this_leaves_itself_out(searcher, model, texts):
    found = searcher.like("k5", 4)
    vectors = model.encode(texts, side="document")
    cosines = vectors @ vectors[5]
    cosines[5] = -2
    assert [h.slot for h in found] == np.argsort(-cosines, kind="stable")[:4].tolist()


def test_reranking_orders_the_best_anew(searcher, texts):
    def longest(query, records):
        return np.array([len(record) for record in records], float)

    found = searcher.search("badger", 30, rerank=longest)
    lengths = [len(h.row["text"]) for h in found]
    assert lengths == sorted(lengths, reverse=True)
    assert [h.reranked for h in found] == lengths
    assert {h.slot for h in found} == {h.slot for h in searcher.search("badger", 30)}
    with pytest.raises(UsageError, match="finite"):
        searcher.search("badger", 3, rerank=lambda query, records: np.full(len(records), np.nan))


def test_a_model_reranks_by_its_cosine(searcher, model, texts):
    found = searcher.search(texts[2], 3, mode="words", rerank=reranker(model))
    cosines = model.encode(texts, side="document") @ model.encode([texts[2]], side="query")[0]
    assert found[0].reranked == pytest.approx(cosines[found[0].slot], abs=1e-5)
    assert [h.reranked for h in found] == sorted((h.reranked for h in found), reverse=True)


def test_vectors_are_cut_as_the_index_is(tmp_path, model, texts):
    vectors = model.encode(texts, side="document")
    rows = [{"text": t} for t in texts]
    index = Index.build(tmp_path / "i", vectors[:, :8], rows, model=model.fingerprint)
    found = Searcher(index, model).search(texts[1], 3, mode="near")
    q = model.encode([texts[1]], side="query")[0, :8]
    cut = vectors[:, :8] / np.linalg.norm(vectors[:, :8], axis=1)[:, None]
    assert [h.slot for h in found] == np.argsort(-(cut @ q), kind="stable")[:3].tolist()
    assert found[0].cosine == pytest.approx(float(cut[found[0].slot] @ q / np.linalg.norm(q)), abs=1e-5)


# Explaining.


def letters(texts, *, query):
    return np.array([[t.count(c) for c in "abcde"] for t in texts], dtype=float)


def test_contributions_are_what_the_cosine_loses():
    text = "aab. cc. bbb."
    found = explanation("ab a", text, letters)
    assert [text[p.start : p.end] for p in found.pieces] == ["aab. ", "cc. ", "bbb."]
    q, d = letters(["ab a", text], query=True)

    def cosine(x, y):
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    assert found.cosine == pytest.approx(cosine(q, d))
    for piece, rest in zip(found.pieces, ("cc. bbb.", "aab. bbb.", "aab. cc. "), strict=True):
        assert piece.contribution == pytest.approx(cosine(q, d) - cosine(q, letters([rest], query=False)[0]))
    assert found.pieces[0].contribution > 0 > found.pieces[1].contribution
    assert [("ab a")[w.start : w.end] for w in found.query_words] == ["ab", "a"]
    assert found.shared == []
    assert explanation("AAB x", text, letters).shared == ["aab"]


@pytest.mark.parametrize(
    "text",
    ["", "one", "one two three", "a\nb\nc", "A b. C d! E?", "\n".join("line" * 3 for _ in range(100)), "3.14 and v1.2"],
)
def test_pieces_cover_a_text_in_order(text):
    spans = pieces(text)
    assert len(spans) <= 24
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(text[a:b].strip() for a, b in spans)


def test_an_explanation_agrees_with_the_search(searcher, texts):
    hit = searcher.search(texts[6], 1, mode="near")[0]
    found = searcher.explain(texts[6], hit.key)
    assert found.cosine == pytest.approx(hit.cosine, abs=1e-5)
    assert found.text == hit.row["text"]
    assert max(p.contribution for p in found.pieces) > 0


# Joining.


def test_fusion_is_chosen_on_questions(searcher, texts):
    asked, right = texts[:6], [[f"k{n}"] for n in range(6)]
    choice = tune_fusion(searcher, asked, right)
    assert choice.mrr == max(mrr for _, mrr in choice.tried)
    assert searcher.fusion == choice.fusion
    ranks = [
        [h.key for h in searcher.search(text, 30)].index(keys[0]) + 1 for text, keys in zip(asked, right, strict=True)
    ]
    assert np.mean(1 / np.array(ranks)) == pytest.approx(choice.mrr)


def test_fusion_takes_the_words_where_only_they_are_right(tmp_path, model, texts):
    """Vectors that stand for other records than their own: whoever counted them in would lose."""
    vectors = np.roll(model.encode(texts, side="document"), 13, axis=0)
    index = Index.build(tmp_path / "i", vectors, [{"text": t} for t in texts], model=model.fingerprint)
    choice = tune_fusion(Searcher(index, model), texts, [[str(n)] for n in range(30)])
    near_alone = next(mrr for fusion, mrr in choice.tried if fusion.words == 0)
    assert choice.fusion.words > choice.fusion.near
    assert choice.mrr > near_alone + 0.2


def test_bad_questions_for_a_choice(searcher):
    with pytest.raises(DataError, match="no record 'x'"):
        tune_fusion(searcher, ["a"], [["x"]])
    with pytest.raises(UsageError, match="1 queries and 0"):
        tune_fusion(searcher, ["a"], [])


@pytest.mark.parametrize(
    "told",
    [
        {"c": 0, "near": 1, "words": 1},
        {"c": 60},
        "x",
        {"c": 60, "near": -1, "words": 2},
        {"c": 1, "near": 0, "words": 0},
    ],
)
def test_a_damaged_fusion_is_an_error(tmp_path, model, texts, told):
    vectors = model.encode(texts, side="document")
    index = Index.build(
        tmp_path / "i", vectors, [{"text": t} for t in texts], model=model.fingerprint, about={"fusion": told}
    )
    with pytest.raises(DataError, match="joined"):
        Searcher(index, model)


def test_fused_scores():
    scores = fused([5, 7], [7, 9], Fusion(10, 1, 2))
    assert scores == {5: pytest.approx(1 / 11), 7: pytest.approx(1 / 12 + 2 / 11), 9: pytest.approx(2 / 12)}


# Filters as people write them.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", Filter("a", "=", "b")),
        ("a = b c", Filter("a", "=", "b c")),
        ("a=", Filter("a", "=", "")),
        ("a!=3", Filter("a", "!=", 3)),
        ("a>=2.5", Filter("a", ">=", 2.5)),
        ("a<=x=y", Filter("a", "<=", "x=y")),
        ("a=true", Filter("a", "=", True)),
        ("a=null", Filter("a", "=", None)),
        ('a="3"', Filter("a", "=", "3")),
        ("a~3", Filter("a", "~", "3")),
        ("a=[1]", Filter("a", "=", "[1]")),
        ("two words<1", Filter("two words", "<", 1)),
    ],
)
def test_filters_are_read(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "a", "=b", " = b", "x" * 5000 + "=1"])
def test_what_is_no_filter(text):
    with pytest.raises(UsageError, match="is no filter"):
        parse(text)


# Bringing up to date.


class Encode:
    """Vectors by the letters of a text; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return np.array([[t.count(c) for c in "abcdef"] for t in texts], dtype=np.float32)


def items(texts):
    return [Item(key, {"text": text}, text, f"record {key}") for key, text in texts.items()]


def test_only_what_is_new_or_changed_is_encoded(tmp_path):
    encode = Encode()
    with Index.create(tmp_path / "i", model="m", dimension=4) as index:
        assert update(index, items({"1": "aa", "2": "b", "3": "zz", "4": "c"}), encode, at_once=2) == Changes(
            added=3, unknown=1
        )
        assert encode.asked == ["aa", "b", "zz", "c"]
        encode.asked.clear()
        assert update(index, items({"1": "aa", "2": "bb", "5": "d"}), encode) == Changes(
            added=1, updated=1, unchanged=1
        )
        assert encode.asked == ["bb", "d"]
        assert sorted(index.all_keys()) == ["1", "2", "4", "5"]
        assert update(index, items({"2": "zz", "5": "d"}), encode, prune=True) == Changes(
            unchanged=1, deleted=3, unknown=1
        )
        assert list(index.all_keys()) == ["5"]
        with pytest.raises(DataError, match="there twice"):
            update(index, [*items({"7": "a"}), *items({"7": "b"})], encode)
        assert index.set_column("topic", [index.slot("5")], ["x"]) == 1
        assert update(index, items({"5": "d"}), encode) == Changes(unchanged=1)


def test_a_record_that_has_its_vector_is_not_encoded(tmp_path):
    encode = Encode()
    given = items({"1": "aa", "2": "b", "3": "c"})
    given[1] = given[1]._replace(vector=np.array([0, 0, 7, 0], dtype=np.float32))
    with Index.create(tmp_path / "i", model="m", dimension=4) as index:
        assert update(index, given, encode) == Changes(added=3)
        assert encode.asked == ["aa", "c"]
        # Stored at unit length: the given one lies where "c" lies, not where "b" would.
        assert index.vectors(range(3)).argmax(1).tolist() == [0, 2, 2]
        assert update(index, items({"1": "aa", "2": "b", "3": "c"}), encode) == Changes(unchanged=3)


def test_what_died_halfway_goes_on(tmp_path):
    whole = {str(n): "abcdef"[n % 6] * (n + 1) for n in range(20)}

    class Dies(Encode):
        def __call__(self, texts):
            if len(self.asked) >= 12:
                raise KeyboardInterrupt
            return super().__call__(texts)

    encode = Encode()
    with Index.create(tmp_path / "i", model="m", dimension=6) as index:
        with pytest.raises(KeyboardInterrupt):
            update(index, items(whole), Dies(), at_once=4)
        assert len(index) == 12
        assert update(index, items(whole), encode, at_once=4) == Changes(added=8, unchanged=12)
        assert len(encode.asked) == 8
        assert {key: index.row(index.slot(key))["text"] for key in index.all_keys()} == whole


def test_the_command_line_keeps_an_index_up_to_date(tmp_path, model, texts, monkeypatch, capsys):
    from nearfar.cli.main import main

    monkeypatch.chdir(tmp_path)
    model.save("model")

    def write(name, records):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records))

    def run(*words):
        code = main(list(words))
        return code, capsys.readouterr()

    records = [{"id": f"r{n}", "body": text, "n": n} for n, text in enumerate(texts)]
    write("a.jsonl", records)
    code, said = run(
        "index", "model", "a.jsonl", "--column", "body", "--key", "id", "--out", "i", "--json", "--dtype", "int8"
    )
    assert code == 0
    assert json.loads(said.out)["added"] == 30
    write("b.jsonl", [{**records[0], "body": texts[1]}, *records[1:10]])
    write("dev.jsonl", [{"query": texts[5], "key": "r5"}, {"query": texts[6], "key": "r6"}])
    flags = ("--column", "body", "--key", "id", "--out", "i", "--quiet")
    code, said = run("index", "model", "b.jsonl", *flags, "--prune", "--compact", "--dev", "dev.jsonl")
    assert code == 0
    assert "10 records in i: 1 updated, 9 unchanged, 20 deleted" in said.out
    assert "21 vectors of deleted records removed" in said.out
    assert "MRR 1.000 on 2 dev questions" in said.out
    assert Index.open("i").manifest.about["fusion"]["c"] == 60
    code, said = run("search", "i", texts[3], "--where", "n>=3", "--json", "--k", "2")
    assert code == 0
    assert next(hit["key"] for hit in json.loads(said.out)) == "r3"
    code, said = run("search", "i", "--like", "r3", "--k", "2")
    assert code == 0
    assert len(said.out.splitlines()) == 2
    for words, expected, part in [
        (("index", "model", "b.jsonl", *flags, "--dtype", "float32"), 2, "has dtype int8"),
        (("index", "model", "b.jsonl", *flags, "--dimension", "99"), 2, "the model gives 32"),
        (("index", "model", "b.jsonl", *flags, "--dimension", "8"), 2, "has dimension 32"),
        (("index", "model", "b.jsonl", "--column", "body", "--key", "name", "--out", "i"), 3, "no key in 'name'"),
        (("index", "model", "b.jsonl", "--column", "bodies", "--out", "i"), 3, "no column 'bodies'"),
        (("index", "model", "b.jsonl", "--column", "body", "--side", "left", "--out", "new"), 2, "no side"),
        (("search", "i"), 2, "say what to search for"),
        (("search", "i", "x", "--where", "nothing"), 2, "is no filter"),
        (("search", "i", "--like", "r29"), 2, "no record 'r29'"),
    ]:
        code, said = run(*words)
        assert code == expected, words
        assert part in said.err
        assert not (tmp_path / "new").exists()


def test_a_killed_command_goes_on_without_duplicates_or_holes(tmp_path, model, texts):
    model.save(tmp_path / "model")
    lines = [json.dumps({"body": f"{text} {n}", "n": n}) + "\n" for n, text in enumerate(texts * 20)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    command = [
        sys.executable,
        "-m",
        "nearfar",
        "index",
        "model",
        "a.jsonl",
        "--column",
        "body",
        "--out",
        "i",
        "--quiet",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(nf.__file__).parents[1])}
    process = subprocess.Popen([*command, "--at-once", "4"], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 120
    while (
        not (tmp_path / "i" / "vectors.f32").exists() or (tmp_path / "i" / "vectors.f32").stat().st_size < 40 * 4 * 32
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(Index.open(tmp_path / "i"))
    assert 36 <= before < 600
    done = subprocess.run(
        [*command, "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert (told["count"], told["added"], told["unchanged"], told["updated"]) == (600, 600 - before, before, 0)
    index = Index.open(tmp_path / "i")
    assert sorted(index.row(slot)["n"] for slot in index.slots()) == list(range(600))
    texts_there = [index.row(slot)["text"] for slot in index.slots()]
    assert np.abs(index.vectors(index.slots()) - model.encode(texts_there, side="document")).max() < 1e-6


def test_numbers_beyond_those_of_sqlite_are_texts(searcher):
    for text in ("even=99999999999999999999", "even=" + "9" * 400, "even>-99999999999999999999"):
        assert isinstance(parse(text).value, str)
        searcher.search("badger", where=[parse(text)])
    with pytest.raises(UsageError, match="is no filter"):
        searcher.search("badger", where=[Filter("even", "=", 2**63)])
    with pytest.raises(UsageError, match="holds a quote"):  # it would be taken for the column without it
        searcher.search("badger", where=[Filter('ev"en', "=", True)])
