"""Several data sets as one training set: by name, with columns and prompts of their own, and read again from what the run wrote down."""

import json
import os

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.recipe import Recipe, Use
from nearfar.core.tree import from_json, override
from nearfar.data.bad_records import BadRecords
from nearfar.data.order import Order
from nearfar.data.pairs import pairs
from nearfar.data.records import Records
from nearfar.training.open_data import open_data, split_records
from nearfar.training.run import Run
from nearfar.training.several import again, is_several, open_several
from nearfar.training.train import train_run
from small_world import world, write_jsonl

QA = [(f"what is {n} and {n + 1}", f"it makes {2 * n + 1} of {n}") for n in range(40)]
SETTINGS = ["fit.epochs=2", "fit.min_steps=0", "fit.batch_size=16", "encoder.dimension=16"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "nli.jsonl", world()[:60], ("premise", "hypothesis"))
    write_jsonl(tmp_path / "qa.jsonl", QA)
    return {"nli": "nli.jsonl", "qa": {"data": "qa.jsonl", "prompts": {"query": "Q: "}}}


@pytest.mark.parametrize(
    ("data", "several"),
    [
        ({"nli": "nli.jsonl"}, True),
        ({"nli": [("a", "b")], "qa": pairs(QA)}, True),
        ({"nli": {"query": ["a"], "document": ["b"]}, "qa": {"data": "qa.jsonl"}}, True),
        ({"query": ["a", "b"], "document": ["c", "d"]}, False),
        ({"query": np.array(["a"]), "document": np.array(["c"]), "negatives": [["d"]]}, False),
        ({}, False),
        (QA, False),
        ("nli.jsonl", False),
    ],
)
def test_data_sets_are_told_from_columns(data, several):
    assert is_several(data) == several


def test_each_is_read_with_its_own_columns_and_prompts(files):
    records, about = open_several(files)
    assert records.many("query", [0, 60]) == [world()[0][0], "Q: " + QA[0][0]]
    assert list(records.fields) == ["query", "document"], "a data set without negatives brings no field of them"
    assert about["nli"] == {
        "source": "nli.jsonl",
        "columns": ["premise", "hypothesis"],
        "records": 60,
        "fingerprint": pairs("nli.jsonl").fingerprint,
    }
    assert about["qa"]["prompts"] == {"query": "Q: "}
    for given in (again(about), again(json.loads(json.dumps(about)))):
        assert open_several(given)[0].fingerprint == records.fingerprint
    assert open_several({**files, "qa": "qa.jsonl"})[0].fingerprint != records.fingerprint
    swapped = open_several({"nli": {"data": "nli.jsonl", "columns": "hypothesis,premise"}, "qa": QA}, "question,answer")
    assert swapped[0].many("query", [0]) == [world()[0][1]]


def test_hard_negatives_of_one_are_those_of_the_whole():
    records, _ = open_several({"a": [("x", "y", ["z"]), ("u", "v", ["w"])], "b": QA})
    assert records.many("negatives", [0, 2]) == [["z"], []]


def test_what_is_wrong_says_where(files):
    with pytest.raises(DataError, match=r"nope\.jsonl"):
        open_several({"a": "nope.jsonl"})
    with pytest.raises(DataError, match=r"second, list\[0\]"):
        open_several({"first": QA, "second": [("a", ""), ("b", "c")]})
    with pytest.raises(UsageError, match="no setting 'column'"):
        open_several({"a": {"data": "qa.jsonl", "column": "question"}})
    recipe = Recipe("r", Use("static"))
    for weights, said in (('{"nil": 1, "qa": 1}', "no data set 'nil'"), ('{"qa": 1}', "'nli' has no weight")):
        with pytest.raises(UsageError, match=said) as caught:
            open_data(override(recipe, f"fit.batching.weights={weights}"), files)
        assert caught.value.where == "fit.batching.weights"
        assert "nli, qa" in caught.value.remedy
    with pytest.raises(UsageError, match="learns from images"):
        open_data(override(recipe, "data=images"), files)


def test_bad_records_of_all_are_listed(tmp_path):
    listed = tmp_path / "bad.jsonl"
    listed.write_text('{"record": 5, "where": "training"}\n{"where": "reading, the time before"}\n')
    with pytest.raises(DataError, match=r"more than the 1.0% allowed"):
        open_several({"a": [*QA, ("", "")], "b": QA}, policy=BadRecords("skip", listed))
    big = {name: [(f"{name} {n}", f"to {name} {n}") for n in range(150)] + [("", name)] for name in ("a", "b")}
    listed.write_text('{"record": 5, "where": "training"}\n{"where": "reading, the time before"}\n')
    records, _ = open_several({"none": QA, **big}, policy=BadRecords("skip", listed))
    assert len(records) == 340
    lines = [json.loads(line) for line in listed.read_text().splitlines()]
    assert ["record" in line for line in lines] == [True, False, False], (
        "what training found stays, what reading found is anew"
    )


def test_a_text_of_two_data_sets_is_held_out_of_both():
    shared = [(q, f"another answer, {n}") for n, (q, _) in enumerate(QA)]
    opened = open_data(override(Recipe("r", Use("static"), held_out=0.3), "fit.batch_size=8"), {"a": QA, "b": shared})
    assert opened.held_out is not None
    kept, held = (set(part.columns["query"].tolist()) for part in (opened.records, opened.held_out))
    assert held
    assert not kept & held
    assert len(opened.held_out) == 2 * len(held)


def test_what_hangs_together_is_never_held_out_as_a_whole():
    same = np.r_[np.zeros(90, np.int64), np.arange(1, 31)]
    records = Records({"text": [str(i) for i in range(120)]}, {"text": same})
    for seed in range(20):
        rest, part = split_records(records, 0.2, seed)
        assert (rest.columns["text"] == 0).sum() == 90
        assert part is None or len(part) <= 30


def trained(data, out=None, *settings, **options):
    return train_run("pairs", data, out=out, settings=[*SETTINGS, *settings], **options)


def test_batches_are_of_one_source_with_the_weights_asked_for(files, tmp_path):
    made = trained(files, tmp_path / "run", 'fit.batching.weights={"nli": 3, "qa": 1}', "held_out=0", "fit.epochs=8")
    nli = int(string_ids(["nli"])[0])
    (stage,) = from_json(Recipe, made.run.config["recipe"]).fits
    steps = Order.of(stage.batching, 16, made.records.columns, seed=0)
    of_nli = [(made.records.columns["source"][steps.records(t)] == nli).mean() for t in range(made.fitted.total)]
    assert set(of_nli) == {0.0, 1.0}
    assert sum(of_nli) == pytest.approx(0.75 * len(of_nli), abs=1)
    mixed = trained(files, tmp_path / "mixed", "fit.batching.one_source=false", "held_out=0")
    (stage,) = from_json(Recipe, mixed.run.config["recipe"]).fits
    steps = Order.of(stage.batching, 16, mixed.records.columns, seed=0)
    assert (mixed.records.columns["source"][steps.records(0)] == nli).mean() == pytest.approx(0.6, abs=0.05)


class Killed(BaseException):
    """As if the process were gone."""


def test_a_killed_run_goes_on_from_its_directory_alone(files, tmp_path, monkeypatch):
    """With files, columns and prompts that only the run's configuration knows."""
    settings = ('fit.batching.weights={"nli": 1, "qa": 2}', "fit.checkpoint_steps=2", "fit.epochs=3")
    whole = trained(files, tmp_path / "whole", *settings)

    def kill(entry, learner):
        if entry["step"] == 5:
            raise Killed

    with pytest.raises(Killed):
        trained(files, tmp_path / "part", *settings, callbacks=[kill])
    resumed = train_run(resume=tmp_path / "part")
    assert resumed.fitted.losses == whole.fitted.losses
    assert resumed.model.fingerprint == whole.model.fingerprint
    assert resumed.model.about["data"]["sources"]["qa"]["prompts"] == {"query": "Q: "}
    other = trained({**files, "qa": "qa.jsonl"}, tmp_path / "other", *settings)
    assert other.model.fingerprint != whole.model.fingerprint
    with pytest.raises(UsageError, match=r"other data: other contents, sources.qa.prompts was"):
        train_run("pairs", {**files, "qa": "qa.jsonl"}, settings=[*SETTINGS, *settings], resume=tmp_path / "part")
    (tmp_path / "moved").mkdir()
    os.replace("qa.jsonl", "moved/qa.jsonl")
    with pytest.raises(UsageError, match=r"trained on qa\.jsonl, which is no file"):
        train_run(None, resume=tmp_path / "part")
    there = {"nli": "nli.jsonl", "qa": {"data": "moved/qa.jsonl", "prompts": {"query": "Q: "}}}
    moved = train_run("pairs", there, settings=[*SETTINGS, *settings], resume=tmp_path / "part")
    assert moved.model.fingerprint == whole.model.fingerprint, "data may have moved"


def test_from_python_in_one_line(tmp_path):
    model = nf.train("pairs", {"nli": world()[:60], "qa": QA}, settings=SETTINGS, out=tmp_path / "run", progress=False)
    assert sorted(model.about["data"]["sources"]) == ["nli", "qa"]
    with pytest.raises(UsageError, match="trained on a list in hand"):
        train_run(None, resume=tmp_path / "run")


def test_a_run_of_a_named_recipe_knows_its_own_checkpoint(tmp_path):
    """What a recipe says as a whole number comes back from its configuration as another kind of number."""
    write_jsonl(tmp_path / "my.jsonl", world())
    short = ["fit.checkpoint_steps=2", "fit.min_steps=8", "encoder.dimension=16"]

    def stop(entry, learner):
        if entry["step"] == 5:
            raise Killed

    with pytest.raises(Killed):
        train_run("pairs", tmp_path / "my.jsonl", out=tmp_path / "run", settings=short, callbacks=[stop])
    assert isinstance(Run.open(tmp_path / "run").config["recipe"]["stages"][0]["epochs"], int)
    resumed = train_run(None, resume=tmp_path / "run")
    assert resumed.fitted.steps == 8


def test_a_run_that_never_began_leaves_its_place_free(tmp_path):
    write_jsonl(tmp_path / "my.jsonl", world())
    out = tmp_path / "run"
    for setting in ("fit.batching.groups=topic", "encoder.dimension=-1"):
        with pytest.raises(UsageError):
            train_run("pairs", tmp_path / "my.jsonl", out=out, settings=[*SETTINGS, setting])
        assert not out.exists()

    def fails(entry, learner):
        raise KeyError("later")

    with pytest.raises(UsageError, match="a callback failed"):
        train_run("pairs", tmp_path / "my.jsonl", out=out, settings=SETTINGS, callbacks=[fails])
    assert (out / "metrics.jsonl").exists(), "what has begun stays"


def test_changes_are_named_as_they_are_set(tmp_path):
    write_jsonl(tmp_path / "my.jsonl", world())
    train_run("pairs", tmp_path / "my.jsonl", out=tmp_path / "run", settings=SETTINGS)
    with pytest.raises(UsageError, match=r"another recipe: fit.learning_rate was 0.005, now 0.1 \["):
        train_run(None, resume=tmp_path / "run", settings=["fit.learning_rate=0.1"])
    with pytest.raises(UsageError, match=r"encoder.dimension was 16, now 8"):
        train_run(None, resume=tmp_path / "run", settings=["encoder.dimension=8"])
