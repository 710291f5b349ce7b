"""Suites: every kind gives what its probe gives on arrays, a killed run goes on, nothing is taken for what it is not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.cli.main import main
from nearfar.core import parts
from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.evaluation.cache import VectorCache, key_of
from nearfar.evaluation.suite import suite_of
from nearfar.evaluation.task import kinds
from nearfar.probes.stored_outcomes import load_outcomes

CLASSES = {"animal": "cat dog horse bird".split(), "food": "bread soup rice cake".split()}
ROOT = Path(__file__).parents[2]


def texts_of(label, count, first):
    words = CLASSES[label]
    return [f"{words[i % 4]} {words[(i // 4) % 4]} {i}" for i in range(first, first + count)]


def embed(texts):
    """Counts of letters beside a hint of the class: a model that every task can measure, and that is not perfect."""
    rows = [[text.count(c) for c in "abcdefghiorstu"] + [len(text) % 5] for text in texts]
    return np.array(rows, dtype=np.float32) + 0.1


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def labelled(count, first):
    return [{"record": t, "label": c} for c in CLASSES for t in texts_of(c, count, first)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files for every kind of task, and the suite of all."""
    place = tmp_path_factory.mktemp("data")
    for name, first in (("test", 0), ("train", 40), ("dev", 80)):
        rows = labelled(20, first)
        write(place / f"{name}.jsonl", rows)
        values = [
            {**row, "value": len(row["record"]) + i % 3, "anomalous": int(row["label"] == "food")}
            for i, row in enumerate(rows)
        ]
        write(place / f"{name}-values.jsonl", values if name != "train" else [v for v in values if not v["anomalous"]])
        write(place / f"{name}-all-values.jsonl", values)
        pairs = [
            {"first": a["record"], "second": b["record"], "label": int(a["label"] == b["label"]), "score": i % 7}
            for i, (a, b) in enumerate(zip(rows, reversed(rows[::2] + rows[::2]), strict=True))
        ]
        write(place / f"{name}-pairs.jsonl", pairs)
    write(
        place / "queries.jsonl",
        [{"query": f"{w} please", "document": f"a {w} here"} for ws in CLASSES.values() for w in ws],
    )
    write(
        place / "corpus.jsonl", [{"id": i, "document": f"a {w} here"} for i, w in enumerate(sum(CLASSES.values(), []))]
    )
    asked = [
        {"query": f"{w} please", "relevant": {str(i): 2, str((i + 1) % 8): 1}}
        for i, w in enumerate(sum(CLASSES.values(), []))
    ]
    write(place / "asked.jsonl", asked)
    ranked = [
        {"query": f"{w} please", "positive": f"a {w} here", "negative": ["nothing", "a horse there"]}
        for w in ("cat", "soup", "dog")
    ]
    write(place / "ranked.jsonl", ranked)
    write(place / "named.jsonl", [{"id": i, "entity": w, "item": w} for i, w in enumerate(sum(CLASSES.values(), []))])
    write(place / "links.jsonl", [{"head": i, "relation": "beside", "tail": (i * i + 1) % 8} for i in range(8)])
    write(place / "known.jsonl", [{"head": i, "relation": "beside", "tail": (i + 3) % 8} for i in range(8)])
    write(place / "baskets.jsonl", [{"sequence": [i, (i + 1) % 8, 3], "next": (5 * i + 2) % 8} for i in range(8)])
    for name, first in (("several", 0), ("several-train", 40)):
        several = [{**row, "labels": [row["label"], f"place {i % 2}"]} for i, row in enumerate(labelled(20, first))]
        write(place / f"{name}.jsonl", several)
    write(place / "bitext.jsonl", [{"first": f"{w} one", "second": f"{w} two"} for ws in CLASSES.values() for w in ws])
    tasks = [
        {"name": "pairs", "kind": "retrieval", "data": "queries.jsonl", "at": [1, 3]},
        {"name": "corpus", "kind": "retrieval", "data": "asked.jsonl", "documents": "corpus.jsonl", "main": "ndcg@3"},
        {"name": "sts", "kind": "sts", "data": "test-pairs.jsonl"},
        {"name": "same", "kind": "pair_classification", "data": "test-pairs.jsonl", "dev": "dev-pairs.jsonl"},
        {"name": "knn", "kind": "knn", "data": "test.jsonl", "train": "train.jsonl", "k": 3},
        {"name": "among", "kind": "knn", "data": "test.jsonl", "k": 3},
        {"name": "linear", "kind": "linear_probe", "data": "test.jsonl", "train": "train.jsonl", "dev": "dev.jsonl"},
        {"name": "few", "kind": "few_shot", "data": "test.jsonl", "ways": 2, "shots": 2, "queries": 5, "episodes": 6},
        {"name": "clusters", "kind": "clustering", "data": "test.jsonl", "seeds": 2},
        {"name": "zero", "kind": "zero_shot", "data": "test.jsonl", "templates": ["{}", "some {}"]},
        {"name": "odd", "kind": "anomaly", "data": "test-values.jsonl", "train": "train-values.jsonl"},
        {
            "name": "value",
            "kind": "regression",
            "data": "test-all-values.jsonl",
            "train": "train-all-values.jsonl",
        },
        {"name": "rerank", "kind": "reranking", "data": "ranked.jsonl"},
        {"name": "bitext", "kind": "bitext_mining", "data": "bitext.jsonl", "k": 2},
        {"name": "labels", "kind": "multi_label_probe", "data": "several.jsonl", "train": "several-train.jsonl"},
        {
            "name": "links",
            "kind": "link_prediction",
            "data": "links.jsonl",
            "entities": "named.jsonl",
            "known": "known.jsonl",
            "head_query": "before {relation} {tail}",
        },
        {"name": "edges", "kind": "link_prediction", "data": "links.jsonl", "tail_query": "{head}"},
        {"name": "baskets", "kind": "next_item", "data": "baskets.jsonl", "items": "named.jsonl", "repeats": False},
        {"name": "space", "kind": "geometry", "data": "test.jsonl", "k": 3},
        {"name": "sides", "kind": "pair_geometry", "data": "bitext.jsonl", "k": 2},
    ]
    (place / "suite.json").write_text(json.dumps({"tasks": tasks}))
    return place


def rows(folder, name, *roles):
    found = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [[row[role] for row in found] for role in roles]


@pytest.fixture(scope="module")
def everything(folder):
    return nf.evaluate(embed, folder / "suite.json", resamples=20)


def by_hand(folder):
    """Each task's figures from the probes on plain arrays."""
    from nearfar.core.parts import find

    probe = {
        name: find(name, "probes").load(name)
        for name in (
            "knn",
            "clustering",
            "anomaly",
            "spectrum",
            "rank_me",
            "hubness",
            "alignment_uniformity",
            "modality_gap",
        )
    }
    query, document = rows(folder, "queries.jsonl", "query", "document")
    asked, relevant = rows(folder, "asked.jsonl", "query", "relevant")
    first, second, label, score = rows(folder, "test-pairs.jsonl", "first", "second", "label", "score")
    dev = rows(folder, "dev-pairs.jsonl", "first", "second", "label")
    x, y = rows(folder, "test.jsonl", "record", "label")
    train, dev_rows = rows(folder, "train.jsonl", "record", "label"), rows(folder, "dev.jsonl", "record", "label")
    base = (embed(train[0]), train[1])
    pairs = nf.retrieval((embed(query), embed(document)), list(range(len(query))))
    corpus = nf.retrieval((embed(asked), embed(document)), [{int(i): g for i, g in r.items()} for r in relevant])
    values = (
        rows(folder, "test-all-values.jsonl", "record", "value"),
        rows(folder, "train-all-values.jsonl", "record", "value"),
    )
    odd, anomalous = rows(folder, "test-values.jsonl", "record", "anomalous")
    normal = rows(folder, "train-values.jsonl", "record")[0]
    several = {name: rows(folder, f"{name}.jsonl", "record", "labels") for name in ("several", "several-train")}
    has = {
        name: [[int(label in labels) for label in ("animal", "food", "place 0", "place 1")] for labels in told]
        for name, (_, told) in several.items()
    }
    words = sum(CLASSES.values(), [])
    links, known = (np.array(rows(folder, f"{name}.jsonl", "head", "tail")).T for name in ("links", "known"))
    sequences, following = rows(folder, "baskets.jsonl", "sequence", "next")
    numbers = list(dict.fromkeys(links.ravel().tolist()))  # without a file of entities their names are their texts
    one, two = rows(folder, "bitext.jsonl", "first", "second")
    return {
        "labels": nf.multi_label_probe(
            embed(several["several"][0]),
            has["several"],
            train=(embed(several["several-train"][0]), has["several-train"]),
        ).figure(),
        "links": nf.link_prediction(
            links,
            tails=(embed([f"{words[h]} beside" for h in links[:, 0]]), embed(words)),
            heads=(embed([f"before beside {words[t]}" for t in links[:, 1]]), embed(words)),
            known=np.concatenate([links, known]),
        ).figure(),
        "edges": nf.link_prediction(
            [[numbers.index(h), numbers.index(t)] for h, t in links.tolist()],
            tails=(embed(str(h) for h in links[:, 0]), embed(map(str, numbers))),
            known=[[numbers.index(h), numbers.index(t)] for h, t in links.tolist()],
        ).figure(),
        "baskets": nf.next_item(
            (embed([", ".join(words[i] for i in sequence) for sequence in sequences]), embed(words)),
            following,
            seen=sequences,
        ).figure(),
        "space/spectrum": probe["spectrum"](embed(x)).figure(),
        "space/rank_me": probe["rank_me"](embed(x)).figure(),
        "space/hubness": probe["hubness"](embed(x), k=3).figure(),
        "space/uniformity": probe["alignment_uniformity"](embed(x)).figure(),
        "sides/alignment": probe["alignment_uniformity"](embed(one), embed(two)).figure("alignment"),
        "sides/modality_gap": probe["modality_gap"](embed(one), embed(two)).figure(),
        "pairs": pairs.figure("ndcg@10"),
        "corpus": corpus.figure("ndcg@3"),
        "sts": nf.sts((embed(first), embed(second)), score).figure(),
        "same": nf.pair_classification(
            (embed(first), embed(second)), label, dev=((embed(dev[0]), embed(dev[1])), dev[2])
        ).figure(),
        "knn": probe["knn"](embed(x), y, train=base, k=3).figure(),
        "among": probe["knn"](embed(x), y, k=3).figure(),
        "linear": nf.linear_probe(embed(x), y, train=base, dev=(embed(dev_rows[0]), dev_rows[1])).figure(),
        "few": nf.few_shot(embed(x), y, ways=2, shots=2, queries=5, episodes=6).figure(),
        "clusters": probe["clustering"](embed(x), y, seeds=2).figure(),
        "zero": nf.zero_shot(
            embed(x),
            y,
            prompts=embed(["animal", "some animal", "food", "some food"]).reshape(2, 2, -1),
            classes=["animal", "food"],
        ).figure(),
        "odd": probe["anomaly"](embed(odd), anomalous, normal=embed(normal)).figure(),
        "value": nf.regression(embed(values[0][0]), values[0][1], train=(embed(values[1][0]), values[1][1])).figure(),
    }


def test_every_kind_gives_what_its_probe_gives(folder, everything):
    expected = by_hand(folder)
    found = everything.figures()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert {task.kind for task in suite_of(folder / "suite.json").tasks} == set(kinds())
    # Known bad: a model that sees nothing of the texts is measured as such.
    random = np.random.default_rng(0)
    blind = nf.evaluate(lambda texts: random.normal(size=(len(texts), 4)), folder / "suite.json", resamples=2)
    assert blind.figures()["corpus"] < found["corpus"]
    differing = [n for n in expected if abs(blind.figures()[n] - expected[n]) > 1e-3]
    assert set(differing) == set(expected)


def test_reranking_and_bitext_by_hand(folder, everything):
    def unit(texts):
        made = embed(texts).astype(np.float64)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    ranks = []
    for query, good, bad in zip(*rows(folder, "ranked.jsonl", "query", "positive", "negative"), strict=True):
        scores = unit([good, *bad]) @ unit([query])[0]
        ranks.append(1 + (scores[1:] > scores[0]).sum())
    assert everything.figures()["rerank"] == pytest.approx(np.mean(1 / np.array(ranks)))
    assert 0 <= everything.figures()["bitext"] <= 1
    assert list(everything.outcomes["bitext"].names[:2]) == ["cat one", "dog one"]


def test_results_say_what_was_measured(folder, everything):
    entry = everything.results["tasks"]["knn"]
    assert (
        entry["figures"]["accuracy"]["low"]
        <= entry["figures"]["accuracy"]["value"]
        <= entry["figures"]["accuracy"]["high"]
    )
    assert (entry["count"], entry["units"], entry["main"], entry["kind"]) == (40, "records", "accuracy", "knn")
    assert everything.outcomes["knn"].facts["fingerprint"] == entry["data"]
    assert everything.results["complete"]
    prints = {e["task"]: e["data"] for e in everything.results["tasks"].values()}
    assert len(set(prints.values())) == len(prints), "each its own data"
    assert everything.outcomes["knn"].names[0] == texts_of("animal", 1, 0)[0]


# Going on


SCRIPT = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import nearfar as nf
    from evaluation.test_evaluate import embed
    calls = []

    def model(texts):
        calls.append(len(texts))
        if len(calls) > {most}:
            os.kill(os.getpid(), signal.SIGKILL)
        return embed(texts)

    found = nf.evaluate(model, {suite!r}, {out!r}, name="letters", only=["sts", "knn", "value"], resamples=20)
    print(len(calls), *found.figures().values())
"""


def test_a_killed_run_goes_on_with_what_is_missing(folder, tmp_path, everything):
    out = tmp_path / "results"

    def run(most):
        text = textwrap.dedent(SCRIPT).format(
            tests=str(ROOT / "tests"), suite=str(folder / "suite.json"), out=str(out), most=most
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, env=environment, timeout=120
        )

    killed = run(3)  # two for sts, one of two for knn
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    stored, _ = load_outcomes(out)
    assert list(stored) == ["sts"]
    assert not json.loads((out / "results.json").read_text())["complete"]
    done = run(100)
    assert done.returncode == 0, done.stderr
    calls, *figures = map(float, done.stdout.split())
    assert calls == 1, "sts is not measured again, and what knn had encoded before is not encoded again"
    assert figures == pytest.approx([everything.figures()[n] for n in ("sts", "knn", "value")])
    assert sorted(load_outcomes(out)[0]) == ["knn", "sts", "value"]


def test_only_what_changed_is_measured_again(folder, tmp_path):
    place = tmp_path / "data"
    shutil.copytree(folder, place)
    seen = []

    def model(texts):
        seen.append(len(texts))
        return embed(texts)

    def run(**more):
        seen.clear()
        settings = {"name": "letters", "resamples": 20, "only": ["sts", "among"], "cache_bytes": 0} | more
        return nf.evaluate(model, place / "suite.json", tmp_path / "out", **settings)

    first = run()
    assert seen == [40, 40, 40]
    assert run().figures() == first.figures()
    assert seen == []
    lines = (place / "test.jsonl").read_text().splitlines()
    (place / "test.jsonl").write_text("\n".join(lines[1:]) + "\n")
    assert len(run().outcomes["among"]) == 39
    assert seen == [39], "the data of one task is another"
    run(only=["corpus"])
    assert set(load_outcomes(tmp_path / "out")[0]) == {"sts", "among", "corpus"}, "what was not asked for stays"
    with pytest.raises(UsageError, match="results of another model, 'letters'"):
        run(name="others")
    run(name="letters")
    seen.clear()
    for _ in range(2):  # nobody knows what a function without a name computes
        nf.evaluate(model, place / "suite.json", tmp_path / "unnamed", only=["sts"], resamples=20)
    assert seen == [40, 40, 40, 40]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"something else than results \(notes.txt\)"):
        nf.evaluate(model, place / "suite.json", tmp_path / "other", name="x")


def test_outcomes_of_two_models_are_compared(folder, tmp_path):
    better = nf.evaluate(embed, folder / "suite.json", tmp_path / "a", name="a", only=["knn"], resamples=20)
    nf.evaluate(
        lambda texts: embed(texts)[:, :2], folder / "suite.json", tmp_path / "b", name="b", only=["knn"], resamples=20
    )
    (a, _), (b, _) = load_outcomes(tmp_path / "a"), load_outcomes(tmp_path / "b")
    assert nf.compare_outcomes(a["knn"], b["knn"]).difference.mean > 0
    assert a["knn"].figures() == better.outcomes["knn"].figures()


def test_figures_of_the_whole_are_stored_shown_and_compared_without_an_interval(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    calls = []

    def model(texts):
        calls.append(len(texts))
        return embed(texts)

    def run(out, function, name):
        return nf.evaluate(function, folder / "suite.json", tmp_path / out, name=name, only=["space"], resamples=20)

    first = run("a", model, "a")
    stored = json.loads((tmp_path / "a" / "results.json").read_text())["tasks"]
    figure = stored["space/spectrum"]["figures"]["effective_rank"]
    assert figure == {"value": pytest.approx(first.wholes["space/spectrum"].figure()), "low": None, "high": None}
    assert stored["space/spectrum"]["units"] is None
    assert stored["space/hubness"]["figures"]["anti_hubs"]["low"] is not None, "known bad: units were measured"
    again = nf.load_figures(tmp_path / "a")["space/spectrum"]
    assert again.figures() == first.wholes["space/spectrum"].figures()
    assert again.curves["eigenvalue"].tolist() == first.wholes["space/spectrum"].curves["eigenvalue"].tolist()
    assert run("a", model, "a").figures() == first.figures()
    assert calls == [40], "the second time nothing is encoded or measured"
    second = run("b", lambda texts: embed(texts)[:, :3], "b")
    made = nf.compare(tmp_path / "a", tmp_path / "b")
    whole = {(one.task, one.metric): one for one in made.wholes}["space/spectrum", "effective_rank"]
    assert (whole.a, whole.b) == (figure["value"], second.figures()["space/spectrum"])
    assert {row.task for row in made.rows} == {"space/uniformity", "space/conformity", "space/hubness"}
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "These figures have no interval" in said
    assert any(line.split()[:3] == ["space/spectrum", "effective_rank", f"{whole.a:.3f}"] for line in said.splitlines())
    only = {"tasks": [{"name": "s", "kind": "geometry", "data": str(folder / "test.jsonl"), "probes": ["rank_me"]}]}
    for out, function in (("c", embed), ("d", lambda texts: embed(texts)[:, :3])):
        nf.evaluate(function, only, tmp_path / out, name=out)
    assert main(["compare", str(tmp_path / "c"), str(tmp_path / "d")]) == 0
    assert "no interval, and no verdict" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"no probe of geometry named 'spectre'.*did you mean spectrum"):
        nf.evaluate(embed, {"tasks": [{**only["tasks"][0], "probes": ["spectre"]}]})
    nf.evaluate(embed, {"tasks": [{**only["tasks"][0], "data": str(folder / "train.jsonl")}]}, tmp_path / "e", name="e")
    with pytest.raises(DataError, match="different data"):
        nf.compare(tmp_path / "c", tmp_path / "e")


OWN = """
from dataclasses import dataclass
import numpy as np
import nearfar as nf
from nearfar.evaluation.task import TaskSettings

COLUMNS = {"record": "text"}

@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    scale: float = 1.0

def files(work):
    work.table()

def measure(work):
    length = np.linalg.norm(work.vectors(work.table()["record"]), axis=1) * work.settings.scale
    return nf.Outcome("mine", "length", "records", {"length": length}, means=("length",))
"""


def test_kinds_of_ones_own_and_of_other_packages(folder, tmp_path, monkeypatch):
    (tmp_path / "lengths.py").write_text(OWN)
    suite = {"tasks": [{"name": "l", "kind": "lengths", "data": str(folder / "test.jsonl"), "scale": 2.0}]}

    def run():
        own = [tmp_path / "lengths.py"]
        return nf.evaluate(embed, suite, tmp_path / "out", name="m", kinds=own, resamples=9).figures()["l"]

    expected = 2 * np.linalg.norm(embed(rows(folder, "test.jsonl", "record")[0]), axis=1).mean()
    assert run() == pytest.approx(expected, rel=1e-6)
    (tmp_path / "lengths.py").write_text(OWN.replace("axis=1)", "axis=1) + 1"))
    assert run() == pytest.approx(expected / 2 + 2, rel=1e-6), "an edited kind is measured again"
    with pytest.raises(DataError, match="no kind of task named 'lengths'"):
        nf.evaluate(embed, suite)
    with pytest.raises(DataError, match="no kind of task"):  # a suite names kinds, and never a path
        nf.evaluate(embed, {"tasks": [{**suite["tasks"][0], "kind": str(tmp_path / "lengths.py")}]})
    (tmp_path / "half.py").write_text(OWN.replace("def measure", "def measures"))
    with pytest.raises(UsageError, match="here is no measure"):
        nf.evaluate(embed, suite, kinds=[tmp_path / "half.py"])
    (tmp_path / "sts.py").write_text(OWN)
    with pytest.raises(UsageError, match="a kind 'sts' already"):
        nf.evaluate(embed, suite, kinds=[tmp_path / "sts.py"])

    (tmp_path / "package_of_others.py").write_text(
        'from nearfar import Card\n\nCARD = Card(name="lengths", summary="x")\n' + OWN
    )
    monkeypatch.syspath_prepend(tmp_path)
    part = parts._announced_part("tasks.lengths", "package_of_others", "others")
    monkeypatch.setattr(parts, "announced", lambda: ((part,), ()))
    assert nf.evaluate(embed, suite, resamples=9).figures()["l"] == pytest.approx(expected, rel=1e-6)


def test_models_of_sequences_rank_the_items_of_their_own_table(folder, tmp_path):
    sequences = [[1 + (i + j) % 6 for j in range(3)] for i in range(12)]
    following = [1 + (7 * i) % 6 for i in range(12)]
    write(tmp_path / "s.jsonl", [{"sequence": s, "next": n} for s, n in zip(sequences, following, strict=True)])
    suite = {"tasks": [{"name": "s", "kind": "next_item", "data": str(tmp_path / "s.jsonl"), "at": [1, 2]}]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = nf.SelfAttention.fit({"sequence": sequences}, dimension=8).eval()
    made = Model({"sequence": tower}).eval()
    table = tower.items.weight[:6].detach().numpy()
    scores = made.encode(sequences) @ table.T
    expected = nf.next_item(scores, np.array(following) - 1, at=(1, 2)).figures()
    found = nf.evaluate(made, suite, resamples=2).outcomes["s"]
    assert found.figures() == pytest.approx(expected)
    shifted = nf.next_item(scores, np.array(following) % 6, at=(1, 2)).figures()
    assert shifted != pytest.approx(expected), "known bad: items numbered from 0"
    with pytest.raises(UsageError, match="no table of items"):
        nf.evaluate(embed, suite)
    write(tmp_path / "s.jsonl", [{"sequence": [1, 7], "next": 2}])
    with pytest.raises(DataError, match="no item 7"):
        nf.evaluate(made, suite)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"kind": "next_item", "data": "baskets.jsonl", "items": "ranked.jsonl"}, "id"),
        ({"kind": "link_prediction", "data": "links.jsonl", "tail_query": "{tail}"}, "no part of tail_query named"),
        ({"kind": "link_prediction", "data": "links.jsonl", "tail_query": ""}, "nothing is asked"),
        ({"kind": "link_prediction", "data": "links.jsonl", "entities": "few.jsonl"}, "no entity has the id"),
        ({"kind": "multi_label_probe", "data": "several.jsonl", "train": "few.jsonl"}, "no training record has"),
        ({"kind": "pair_geometry", "data": "bitext.jsonl", "probes": ["gap"]}, "no probe of pair_geometry"),
    ],
)
def test_tasks_that_cannot_be(folder, tmp_path, task, says):
    write(folder / "few.jsonl", [{"id": i, "entity": "x", "record": f"r {i}", "labels": ["animal"]} for i in range(3)])
    (folder / "one.json").write_text(json.dumps({"tasks": [{"name": "one", **task}]}))
    with pytest.raises(DataError, match="task 'one'") as raised:
        nf.evaluate(embed, folder / "one.json")
    assert says in str(raised.value)


RUN = "q1 Q0 a 1 3.0 x\nq1 Q0 b 2 2.0 x\nq1 Q0 c 3 -1.0 x\nq2 Q0 c 1 0.5 x\nq3 Q0 a 1 1.0 x\nq3 Q0 b 2 0.5 x\n"
QRELS = "q1 0 b 1\nq1 0 z 1\nq2 0 c 2\nq3 0 b 1\nq4 0 a 1\n"


def test_rankings_in_files_are_measured_by_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my.run").write_text(RUN)
    Path("my.qrels").write_text(QRELS)
    assert main(["evaluate", "--run", "my.run", "--qrels", "my.qrels", "--json", "--out", "a"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["queries"] == 4
    assert told["figures"]["mrr"]["value"] == pytest.approx((1 / 2 + 1 + 1 / 2 + 0) / 4)
    assert told["figures"]["recall@10"]["value"] == pytest.approx((1 / 2 + 1 + 1 + 0) / 4)
    assert told["figures"]["mrr"]["low"] < told["figures"]["mrr"]["value"] < told["figures"]["mrr"]["high"]
    assert main(["evaluate", "--run", "my.run", "--qrels", "my.qrels"]) == 0
    figure = told["figures"]["ndcg@10"]
    line = f"ndcg@10 {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
    assert line in [" ".join(one.split()) for one in capsys.readouterr().out.splitlines()]
    Path("my.run").write_text(RUN.replace("q1 Q0 b 2 2.0", "q1 Q0 b 1 4.0"))
    assert main(["evaluate", "--run", "my.run", "--qrels", "my.qrels", "--out", "b"]) == 0
    assert nf.compare("a", "b", "mrr").rows[0].found.difference.mean == pytest.approx(0.5 / 4)
    capsys.readouterr()
    for wrong in (["--run", "my.run"], ["model", "--run", "my.run", "--qrels", "my.qrels"], []):
        assert main(["evaluate", *wrong]) == 2
    assert main(["evaluate", "--run", "my.run", "--qrels", "my.run"]) == 3
    assert "6 fields" in capsys.readouterr().err


def test_every_task_of_two_models_can_be_compared(folder, everything):
    few = nf.evaluate(lambda texts: embed(texts)[:, 3:9], folder / "suite.json", resamples=2)
    for name, outcome in everything.outcomes.items():
        difference = nf.compare_outcomes(outcome, few.outcomes[name], n=20).difference.mean
        assert difference == pytest.approx(outcome.figure() - few.outcomes[name].figure()), name
    assert any(o.figure() != few.outcomes[n].figure() for n, o in everything.outcomes.items())


# Models


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sides = {"query": ["cat dog"], "document": ["soup"]}
        left, right = (nf.Static.fit(sides, dimension=8, buckets=64, min_count=1, seed=seed) for seed in (0, 1))
    return Model({"query": left, "document": right}).eval()


def test_sides_and_prompts_reach_the_model(folder, model):
    suite = json.loads((folder / "suite.json").read_text())
    task = {**suite["tasks"][0], "data": str(folder / "queries.jsonl")}
    query, document = rows(folder, "queries.jsonl", "query", "document")

    def by_hand(prefix="", left="query", right="document"):
        x = model.encode([prefix + q for q in query], side=left)
        return nf.retrieval((x, model.encode(document, side=right)), list(range(8))).figure("ndcg@10")

    def measured(**more):
        return nf.evaluate(model, {"tasks": [task | more]}, resamples=2).figures()["pairs"]

    assert measured() == pytest.approx(by_hand())
    assert measured(prompts={"query": "soup "}) == pytest.approx(by_hand("soup "))
    assert measured(sides={"document": "query"}) == pytest.approx(by_hand(right="query"))
    assert len({round(v, 6) for v in (by_hand(), by_hand("soup "), by_hand(right="query"))}) == 3, (
        "known bad: neither is told"
    )
    with pytest.raises(
        UsageError, match=r"task 'pairs', sides.*there are document, query|no side of this model named 'image'"
    ):
        measured(sides={"query": "image"})


def test_a_stored_model_is_measured_by_the_command(folder, model, tmp_path, capsys):
    path = model.save(tmp_path / "model")
    command = [
        "evaluate",
        str(path),
        "--suite",
        str(folder / "suite.json"),
        "--only",
        "knn",
        "--only",
        "sts",
        "--quiet",
    ]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    figure = stored["tasks"]["knn"]["figures"]["accuracy"]
    assert f"{figure['value']:.3f}  [{figure['low']:.3f}, {figure['high']:.3f}]" in printed
    assert stored["model"]["fingerprint"].startswith(model.fingerprint)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["knn"]["figures"]["accuracy"]["value"] == figure["value"]
    assert main(["evaluate", str(path)]) == 2
    assert "give one of --data and --suite" in capsys.readouterr().err
    assert main(["evaluate", str(path), "--data", "x.jsonl", "--out", "y"]) == 2
    assert "belong to a suite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda texts: np.zeros(len(texts)), r"shape \[40\] for 40 records"),
        (lambda texts: np.full((len(texts), 2), np.nan), "not finite"),
        (lambda texts: "nothing", "no table of numbers"),
        (3, "int is no model"),
    ],
)
def test_what_is_no_model_is_refused(folder, wrong, says):
    with pytest.raises((DataError, UsageError), match=says):
        nf.evaluate(wrong, folder / "suite.json", only=["among"])


def test_images_in_a_folder(tmp_path):
    from PIL import Image

    draws = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 150)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(6):
            pixels = draws.integers(low, low + 100, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{i}.png")

    def model(paths):
        pixels = np.stack([np.asarray(Image.open(path)) for path in paths]).reshape(len(paths), -1) / 255.0
        return pixels - 0.5

    suite = {"tasks": [{"name": "images", "kind": "knn", "data": str(tmp_path / "images"), "k": 1}]}
    first = nf.evaluate(model, suite, tmp_path / "out", name="pixels", resamples=2)
    assert first.figures() == {"images": 1.0}
    # Another image under an old name is no cached one.
    shutil.copy(tmp_path / "images/dark/0.png", tmp_path / "images/light/0.png")
    assert nf.evaluate(model, suite, tmp_path / "out", name="pixels", resamples=2).figures()["images"] < 1


# Suites that cannot be


TOML = """
[[tasks]]
name = "mine"
kind = "sts"
data = "test-pairs.jsonl"
"""


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("[[tasks]", "suite.toml", "no TOML"),
        ("", "suite.toml", "no tasks"),
        ("task = 1\n" + TOML, "suite.toml", "did you mean tasks"),
        (TOML.replace('kind = "sts"', 'kind = "knm"'), "suite.toml, task 'mine', kind", "did you mean knn"),
        (TOML.replace('kind = "sts"\n', ""), "suite.toml, task 1", "no kind"),
        (TOML + 'colums = {first = "a"}', "suite.toml, task 'mine'", "did you mean 'columns'"),
        (TOML + 'columns = {frist = "a"}', "suite.toml, task 'mine', columns", "did you mean first"),
        (TOML + 'prompts = {score = "a"}', "suite.toml, task 'mine', prompts", "there are first, second"),
        (TOML + "sides = 3", "suite.toml, task 'mine'.sides", "expected an object"),
        (TOML + TOML, "suite.toml", "two tasks are called 'mine'"),
        (TOML + 'columns = {first = "frist"}', "task 'mine', .*test-pairs.jsonl", "did you mean 'first'"),
        (TOML.replace("test-pairs", "nowhere"), "task 'mine', .*nowhere.jsonl", ""),
        (TOML.replace('"sts"', '"linear_probe"'), "suite.toml, task 'mine'", "train"),
    ],
)
def test_errors_name_file_task_and_key(folder, text, where, says):
    import re

    (folder / "suite.toml").write_text(text)
    with pytest.raises(DataError) as raised:
        nf.evaluate(embed, folder / "suite.toml")
    assert re.search(where, raised.value.where), raised.value
    assert says in str(raised.value)


def test_errors_of_probes_name_the_task(folder):
    task = {"name": "one class", "kind": "clustering", "data": "ones.jsonl"}
    write(folder / "ones.jsonl", [{"record": f"text {i}", "label": "same"} for i in range(5)])
    (folder / "ones.json").write_text(json.dumps({"tasks": [task]}))
    with pytest.raises(DataError, match="task 'one class'"):
        nf.evaluate(embed, folder / "ones.json")
    write(folder / "ones.jsonl", [{"record": f"text {i}", "label": None if i == 3 else "same"} for i in range(5)])
    with pytest.raises(DataError, match=r"None is no label.*|record 3, label"):
        nf.evaluate(embed, folder / "ones.json")
    with pytest.raises(UsageError, match="no task named 'two'"):
        nf.evaluate(embed, folder / "ones.json", only=["two"])


# The cache


@pytest.mark.parametrize("place", ["folder", None])
def test_the_cache_is_bounded_and_forgets_the_longest_unused(tmp_path, place):
    table = np.ones((4, 8), dtype=np.float32)
    cache = VectorCache(
        None if place is None else tmp_path / place, most=3 * (table.nbytes + (128 if place else 0))
    )  # a file has a header
    for number, key in enumerate("abc"):
        cache.put(key, table * number)
        if place:
            os.utime(tmp_path / place / f"{key}.npy", (number, number))
    assert np.array_equal(cache.get("a"), table * 0)
    cache.put("d", table)
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.put("large", np.ones((100, 100), dtype=np.float32))
    assert cache.get("large") is None


def test_a_damaged_entry_is_none(tmp_path):
    cache = VectorCache(tmp_path)
    cache.put("a", np.ones((2, 2), dtype=np.float32))
    path = tmp_path / "a.npy"
    assert cache.get("a") is not None
    path.write_bytes(path.read_bytes()[:-3])
    assert cache.get("a") is None
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert cache.get("a") is None, "pickles are not read"


def test_keys_tell_everything_apart():
    keys = {
        key_of(*parts)
        for parts in (
            (["m", "query", ""], ["a", "b"]),
            (["n", "query", ""], ["a", "b"]),
            (["m", "document", ""], ["a", "b"]),
            (["m", "query", "p"], ["a", "b"]),
            (["m", "query", ""], ["b", "a"]),
            (["m", "query", ""], ["ab"]),
        )
    }
    assert len(keys) == 6
