"""`nearfar mine` from a trained model to a data set that trains again, and what it says on the way."""

from __future__ import annotations

import argparse
import json

import pytest

import nearfar
from nearfar.cli import mine as verb
from nearfar.core.errors import UsageError
from nearfar.data.pairs import pairs
from small_world import QUICK, world, write_jsonl


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pairs and a model that knows little."""
    folder = tmp_path_factory.mktemp("mine")
    path = write_jsonl(folder / "pairs.jsonl", world())
    nearfar.train("pairs", path, out=folder / "run", settings=[*QUICK, "fit.epochs=1"], progress=False)
    return folder


def run(*words):
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(w) for w in words]))


def test_mined_pairs_train_again(place, capsys):
    arguments = [
        place / "run",
        "--data",
        place / "pairs.jsonl",
        "--out",
        place / "mined.jsonl",
        "--ranks",
        "2,30",
        "--quiet",
    ]
    assert run(*arguments, "--margin-relative", "0.02", "--guide", place / "run") == 0
    said = capsys.readouterr().out
    assert "of 120 queries, from 120 documents" in said
    assert "ranked above the first rank asked for" in said
    table = pairs(place / "mined.jsonl")
    assert table.queries == [q for q, _ in world()]
    assert table.has_negatives
    assert all(d not in n for d, n in zip(table.documents, table.negatives, strict=True))
    model = nearfar.train(
        "pairs", place / "mined.jsonl", out=place / "second", settings=[*QUICK, "fit.epochs=1"], progress=False
    )
    assert model.encode(["where does the coral badger live"]).shape == (1, 32)


def test_json_and_a_corpus(place, capsys):
    (place / "more.jsonl").write_text("".join(json.dumps({"text": f"a further badger {i}"}) + "\n" for i in range(30)))
    arguments = ["--data", place / "pairs.jsonl", "--out", place / "m.jsonl", "--corpus", place / "more.jsonl"]
    assert run(place / "run", *arguments, "--corpus-column", "text", "--ranks", "0,50", "--json", "--chunk", "50") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["documents"] == 150
    assert said["negatives"] == 600
    assert said["written"] == str(place / "m.jsonl")
    assert json.loads((place / "m.about.json").read_text())["counts"]["documents"] == 150
    assert any("further" in t for n in pairs(place / "m.jsonl").negatives for t in n)


def test_what_is_wrong_is_said(place):
    with pytest.raises(UsageError, match="fewer than per_query"):
        run(place / "run", "--data", place / "pairs.jsonl", "--out", place / "x.jsonl", "--ranks", "0,3")
    with pytest.raises(SystemExit):
        run(place / "run", "--data", place / "pairs.jsonl", "--out", place / "x.jsonl", "--ranks", "many")
