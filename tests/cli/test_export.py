"""`nearfar export`, as it is typed."""

import json

import numpy as np
import pytest

import nearfar as nf
from nearfar.cli.main import main
from nearfar.export.onnx_model import OnnxModel
from small_world import QUICK, world, write_jsonl


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    data = write_jsonl(folder / "animals.jsonl", world())
    nf.train("pairs", data, out=folder / "run", settings=QUICK, progress=False)
    return folder


def export(place, *words):
    return main(["export", str(place / "run"), *map(str, words)])


def test_an_onnx_graph_of_a_run(place, tmp_path, capsys):
    data = ("--data", place / "animals.jsonl", "--column", "answer")
    assert export(place, "--to", "onnx", "--out", tmp_path / "there", "--int8", *data) == 0
    printed = capsys.readouterr().out
    assert "from units and amounts to vectors of 32 numbers" in printed
    assert "on 120 records" in printed
    assert "cosine to the exact vectors 0.9" in printed or "cosine to the exact vectors 1.0" in printed
    texts = [answer for _, answer in world()]
    made = OnnxModel.open(tmp_path / "there").encode(texts)
    expected = nf.load(place / "run").encode(texts)
    assert np.abs(made - expected).max() < 1e-5
    assert np.abs(made - expected[::-1]).max() > 1e-2  # known bad: in another order
    assert export(place, "--to", "onnx", "--out", tmp_path / "there", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == nf.load(place / "run").fingerprint
    assert "int8" not in said
    assert not (tmp_path / "there" / "model.int8.onnx").exists(), "an export replaces the one before it"


WRONG = {
    "static there": (("--to", "sentence-transformers"), 2, "averages over tokens"),
    "int8 there": (("--to", "sentence-transformers", "--int8"), 2, "for ONNX alone"),
    "no target": ((), 2, "--to"),
    "no column": (("--to", "onnx", "--data", "DATA"), 2, "which column"),
    "no file of a column": (("--to", "onnx", "--column", "answer"), 2, "of which file"),
    "another column": (("--to", "onnx", "--data", "DATA", "--column", "text"), 3, "record 1 has no column 'text'"),
    "no side": (("--to", "onnx", "--side", "image"), 2, "no side 'image'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_left(name, place, tmp_path, capsys):
    words, code, said = WRONG[name]
    words = [str(place / "animals.jsonl") if word == "DATA" else word for word in words]
    assert export(place, *words, "--out", tmp_path / "there") == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "do: " in printed
    assert list(tmp_path.iterdir()) == []
