"""What batches and relations go by beside the texts, from a file as it is: classes, groups, likeness of length, a share of bad records."""

import json
from dataclasses import replace

import datasets
import numpy as np
import pytest

from nearfar.core.batching import Batching
from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit, Refresh
from nearfar.training import open_data as opening
from nearfar.training import several
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.train import train_run

N, BATCH = 120, 12


def rows(name):
    chance = np.random.default_rng(len(name))
    words = ["w " * int(k) for k in chance.integers(1, 30, N)]
    return [
        {"query": f"{name} asks {i} {words[i]}", "document": f"{name} says {i % 90}", "topic": f"t{i % 4}"}
        for i in range(N)
    ]


@pytest.fixture(params=["in memory", "by record"])
def files(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "by record":
        monkeypatch.setattr(several, "LARGE", 10)
        monkeypatch.setattr(opening, "LARGE", 10)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(name)))
    return {"a": "a.jsonl", "b": "b.jsonl"}


def recipe(batching, refresh=(), **changes):
    fit = Fit(batch_size=BATCH, epochs=1, batching=batching, refresh=refresh, learning_rate=0.01, checkpoint_steps=3)
    return replace(Recipe("r", Use("static", {"dimension": 8}), stages=(fit,), held_out=0.0), **changes)


def steps_of(given, data):
    """The records, and the numbers of those of every step."""
    records = opening.open_data(given, data).records
    towers, heads = towers_of(given, records)
    order = prepare(given.fits[0], given, records, towers, heads).batches.order
    return records, [order.records(step) for step in range(order.steps_per_epoch)]


def test_classes_of_a_file(files):
    for wish, balanced in ((Batching(balance="topic", per_class=3), True), (Batching(), False)):
        given = recipe(wish, columns=("topic",))
        records, steps = steps_of(given, files["a"])
        topic = records.columns["topic"]
        assert np.array_equal(topic, string_ids([row["topic"] for row in rows("a")]))
        assert all(np.unique(topic[s], return_counts=True)[1].tolist() == [3, 3, 3, 3] for s in steps) == balanced


def test_all_of_it_at_once_over_several_files(files):
    given = {"a": files["a"], "b": {"data": files["b"], "prompts": {"query": "b: "}}}
    wish = Batching(groups="topic", avoid=("query", "document"), buckets=3, weights={"a": 2, "b": 1})
    spread = {}
    for name, batching in (("sorted", wish), ("as they come", replace(wish, buckets=1))):
        records, steps = steps_of(recipe(batching), given)
        columns = records.columns
        for step in steps:
            assert len(set(columns["source"][step])) == len(set(columns["topic"][step])) == 1
            assert len(set(columns["document"][step])) == len(step) == BATCH
        of_a = np.mean([columns["source"][step[0]] == string_ids(["a"])[0] for step in steps])
        assert abs(of_a - 2 / 3) < 0.07
        texts = [records.many("query", step, prompted=False) for step in steps]
        spread[name] = np.mean([np.std([len(text) for text in some]) for some in texts])
    assert spread["sorted"] < 0.8 * spread["as they come"]
    assert records.many("query", [N])[0].startswith("b: ")


def test_clusters_within_each_of_several_sources(files, tmp_path):
    refresh = (Refresh("find", Use("clusters", {"k": 2}), "cluster"),)
    wish = Batching(groups="cluster", small_groups="join", avoid=("document",), weights={"a": 2, "b": 1})
    seen = []
    made = train_run(
        recipe(wish, refresh),
        files,
        out=tmp_path / "run",
        callbacks=[lambda entry, learner: seen.append(entry["step"])],
    )
    assert made.records.columns["cluster"].shape == (2 * N,)
    assert seen == list(range(1, made.fitted.total + 1))


def test_a_relation_reads_a_column_that_the_recipe_asks_for(files, tmp_path):
    labelled = Contrast(relation=Use("labelled", {"column": "topic"}))
    made = train_run(recipe(Batching(), objective=labelled, columns=("topic",)), files["a"], out=tmp_path / "run")
    assert "topic" in made.records.columns
    with pytest.raises(UsageError, match="topic"):
        train_run(recipe(Batching(), objective=labelled), files["a"], out=tmp_path / "without")
    with pytest.raises(DataError, match="did you mean 'topic'"):
        train_run(recipe(Batching(), columns=("topik",)), files["a"], out=tmp_path / "misspelt")


def test_a_column_that_an_earlier_stage_writes_need_not_be_in_the_file(files, tmp_path):
    class Halves:
        name = "halves"

        def run(self, state):
            state.take_columns({"half": np.arange(len(state.records)) % 2})

    first = recipe(Batching(groups="half"))
    made = train_run(replace(first, stages=(Halves(), *first.stages)), files["a"], out=tmp_path / "run")
    assert made.fitted.steps == N // BATCH


def test_a_resumed_run_has_the_same_columns(files, tmp_path):
    given = recipe(Batching(balance="topic", per_class=3, buckets=2), columns=("topic",))

    def stop(entry, learner):
        if entry["step"] == 5:
            raise ZeroDivisionError

    whole = train_run(given, files["a"], out=tmp_path / "whole")
    with pytest.raises(UsageError, match="callback failed"):
        train_run(given, files["a"], out=tmp_path / "part", callbacks=[stop])
    again = train_run(resume=tmp_path / "part")
    assert again.run.config["data"]["columns"] == ["query", "document"], "found when the run began, and read again"
    assert again.fitted.losses == whole.fitted.losses


@pytest.mark.parametrize("kind", ["one", "several"])
def test_the_share_of_bad_records_is_the_users_to_state(kind, files, tmp_path):
    bad = rows("a")
    for i in range(6):
        bad[9 * i]["query"] = ""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    data = files["a"] if kind == "one" else files
    with pytest.raises(
        DataError, match=r"6 of 120 records of a.jsonl are bad, more than the 1.0% allowed.*--bad-share"
    ):
        train_run(recipe(Batching()), data, out=tmp_path / "stops", on_bad="skip")
    with pytest.raises(DataError, match=r"more than the 4\.0% allowed"):
        train_run(recipe(Batching()), data, out=tmp_path / "stops", on_bad="skip", bad_share=0.04)
    made = train_run(recipe(Batching()), data, out=tmp_path / "run", on_bad="skip", bad_share=0.05)
    assert len((tmp_path / "run" / "bad_records.jsonl").read_text().splitlines()) == 6
    assert len(made.records) == (N - 6 if kind == "one" else 2 * N - 6)
    assert made.run.config["bad_share"] == 0.05


def test_texts_of_the_library_datasets(tmp_path):
    given = datasets.Dataset.from_list([{"text": row["query"], "topic": row["topic"]} for row in rows("a")])
    texts = recipe(Batching(balance="topic"), data="texts", streams=(Feed("x", "text"), Feed("y", "text")))
    texts = replace(texts, objective=Contrast(relation=Use("labelled", {"column": "topic"})))
    made = train_run(texts, given, out=tmp_path / "run", settings=["fit.batching.per_class=3"])
    assert list(made.records.fields) == ["text"]
    assert {"text", "topic"} <= set(made.records.columns)


def test_texts_whose_batches_avoid_equal_ones_are_embedded_too(tmp_path):
    given = datasets.Dataset.from_list([{"text": row["query"]} for row in rows("a")])
    streams = (Feed("x", "text"), Feed("y", "text"))
    made = train_run(recipe(Batching(avoid=("text",)), data="texts", streams=streams), given, out=tmp_path / "run")
    assert list(made.records.fields) == ["text"]
    assert list(made.records.columns) == ["text"]


@pytest.mark.parametrize("columns", ["row", ["row", "topic"]])
def test_a_single_field_keeps_the_name_that_the_recipe_reads(columns, tmp_path):
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps({"row": [i, 2.0], "topic": i % 3}) + "\n" for i in range(40)))
    wanted = ("topic",) if "topic" in columns else ()
    given = replace(recipe(Batching()), data="records", streams=(Feed("x", "row"),), columns=wanted)
    fields = opening.open_data(given, path, columns).records.fields
    assert "row" in fields
    assert "record" not in fields
    # One column may be called anything: it is what the recipe reads.
    other = replace(given, streams=(Feed("x", "features"),), columns=())
    assert set(opening.open_data(other, path, "row").records.fields) == {"features"}
