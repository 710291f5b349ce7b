"""The verbs on a user's own data, end to end, and every kind of bad input: what is said, where, and that nothing is lost."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from nearfar.cli.main import main
from small_world import QUICK, world, write_jsonl

SETTINGS = [f"--set={s}" for s in QUICK]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "my.jsonl", world())
    return tmp_path


def run(*words):
    return main([str(w) for w in words])


@pytest.fixture
def trained(here):
    assert (
        run(
            "train", "pairs", "--data", "my.jsonl", "--columns", "question,answer", "--out", "run", *SETTINGS, "--quiet"
        )
        == 0
    )
    return here


def test_train_evaluate_encode_search(here, capsys):
    trained = here
    assert run("train", "pairs", "--data", "my.jsonl", "--columns", "question,answer", "--out", "run", *SETTINGS) == 0
    said = capsys.readouterr().out
    assert re.search(r"loss \d\.\d+ -> \d\.\d+ \(chance level 4\.159\)", said)
    assert re.search(r"held-out mrr +[01]\.\d+ \[[01]\.\d+, [01]\.\d+\]", said)
    written = "config.json metrics.jsonl metrics.csv tensorboard checkpoints model sample report.html outcomes.json outcomes.safetensors".split()
    assert set(written) == {p.name for p in (trained / "run").iterdir()}

    assert run("evaluate", "run", "--data", "my.jsonl", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["mrr"]["low"] <= measured["mrr"]["mean"] <= measured["mrr"]["high"]
    assert measured["mrr"]["mean"] > measured["against"]["mrr"]["mean"], (
        "the answers share one word with their questions"
    )
    assert measured["verdict"] == "better"
    assert measured["trained_on"]
    write_jsonl(here / "others.jsonl", world()[::3])
    assert run("evaluate", "run", "--data", "my.jsonl") == 0
    assert "trained on these very pairs" in capsys.readouterr().out
    assert run("evaluate", "run", "--data", "others.jsonl") == 0
    assert "trained on these very pairs" not in capsys.readouterr().out

    assert run("encode", "run", "--data", "my.jsonl", "--column", "answer", "--out", "v.npy", "--quiet") == 0
    vectors = np.load("v.npy", allow_pickle=False)
    assert vectors.shape == (120, 32)

    assert run("index", "run", "my.jsonl", "--column", "answer", "--out", "answers", "--quiet") == 0
    capsys.readouterr()
    assert run("search", "answers", "where", "does the coral badger live", "--k", "3", "--json") == 0
    hits = json.loads(capsys.readouterr().out)
    assert len(hits) == 3
    assert hits[0]["text"] == "the reef tint badgers live in the badger house"
    assert hits[0]["score"] > hits[2]["score"]
    assert run("search", "answers", "coral badger") == 0
    assert "reef tint badgers" in capsys.readouterr().out


def test_comparing_two_models(trained, capsys):
    run("train", "pairs", "--data", "my.jsonl", "--out", "short", *SETTINGS, "--set", "fit.epochs=0.1", "--quiet")
    capsys.readouterr()
    assert run("evaluate", "run", "--data", "my.jsonl", "--against", "short") == 0
    assert "this model is better than short" in capsys.readouterr().out


def test_settings_are_shown_and_changed(here, capsys):
    assert run("train", "pairs", "--settings", "--set", "fit.batch_size=17") == 0
    assert re.search(r"fit\.batch_size +17\b", capsys.readouterr().out)
    assert run("train", "pairs", "--settings", "--set", "fit.bach_size=17") == 2
    assert "did you mean 'batch_size'" in capsys.readouterr().err


OWN = """
import nearfar as nf
from nearfar.core.recipe import Contrast, Recipe, Use


@nf.rule(nf.Card(name="hinge", summary="a margin", needs=("positive", "negative")))
def hinge(scores, block):
    best = scores.masked_fill(~block.neg, float("-inf")).amax(1)
    return (0.2 + best - (scores * block.pos).sum(1)).clamp_min(0)


def own(queries, keys):
    return nf.paired()(queries, keys)


def recipe():
    return Recipe("hinge", Use("static", {"dimension": 16}), Contrast(rule=hinge, relation=own, temperature=1.0))
"""


def test_a_method_in_a_file_of_ones_own(here, capsys):
    (here / "my_method.py").write_text(OWN)
    assert (
        run(
            "train",
            "./my_method.py",
            "--data",
            "my.jsonl",
            "--out",
            "own",
            "--set",
            "fit.epochs=3",
            "--set",
            "fit.batch_size=32",
            "--json",
        )
        == 0
    )
    about = json.loads(capsys.readouterr().out)
    assert about["recipe"]["objective"]["rule"] == {"own": "hinge"}
    assert about["held_out"]["mrr"]["mean"] > 0.3
    assert run("evaluate", "own", "--data", "my.jsonl") == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "no function recipe"),
        ("def recipe():\n    return 3", "returns int, not a Recipe"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def recipe():\n\n    return 1 / 0", "ZeroDivisionError"),
        ("def recipe(:", "SyntaxError"),
    ],
)
def test_a_file_that_is_no_method(source, said, here, capsys):
    (here / "wrong.py").write_text(source)
    assert run("train", "wrong.py", "--data", "my.jsonl") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "wrong.py" in error
    if "ZeroDivision" in said:
        assert "wrong.py:3" in error


def lines(*texts):
    return "\n".join(texts).encode() + b"\n"


GOOD = '{"question": "q", "answer": "a"}'
BAD_FILES = {
    "empty.jsonl": (b"", ["empty"]),
    "one.jsonl": (lines(GOOD), ["one pair"]),
    "equal.jsonl": (lines(*[GOOD] * 30), ["equal"]),
    "column.jsonl": (lines(*['{"question": "q", "reply": "a"}'] * 3), ["answer", "reply"]),
    "type.jsonl": (lines(GOOD, '{"question": 3, "answer": "a"}'), ["line 2", "question"]),
    "null.jsonl": (lines(GOOD, '{"question": null, "answer": "a"}'), ["line 2", "question"]),
    "nan.jsonl": (lines(GOOD, '{"question": NaN, "answer": "a"}'), ["line 2", "question"]),
    "huge.jsonl": (lines(GOOD, '{"question": 1e999, "answer": "a"}'), ["line 2", "question"]),
    "utf8.jsonl": (lines(GOOD) + b'{"question": "\xff", "answer": "a"}\n', ["line 2", "UTF-8"]),
    "cut.jsonl": (lines(GOOD) + b'{"question": "q", "ans', ["line 2"]),
    "list.jsonl": (lines(GOOD, "[1, 2]"), ["line 2"]),
    "ragged.csv": (lines("question,answer", "a,b", "a,b,c"), ["line 3"]),
    "twice.csv": (lines("question,question", "a,b"), ["question"]),
    "bare.csv": (lines("question,answer"), ["no record"]),
    "corrupt.parquet": (b"PAR1nonsense", ["corrupt.parquet"]),
    "notes.docx": (b"text", ["docx"]),
    "cut.jsonl.gz": (gzip.compress(lines(*[GOOD] * 50))[:-12], ["cut.jsonl.gz"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named_with_their_place(name, here, capsys):
    content, said = BAD_FILES[name]
    (here / name).write_bytes(content)
    assert run("train", "pairs", "--data", name, "--columns", "question,answer", "--out", "run") == 3
    error = capsys.readouterr().err
    assert name in error
    for word in said:
        assert word.lower() in error.lower()
    assert "do:" in error
    assert "Traceback" not in error
    assert not (here / "run").exists(), "a run was begun on data that cannot be read"


def test_a_missing_file_and_a_directory(here, capsys):
    assert run("train", "pairs", "--data", "nowhere.jsonl") == 3
    assert "nowhere.jsonl" in capsys.readouterr().err
    assert run("train", "pairs", "--data", ".") == 3
    assert capsys.readouterr().err


def test_bad_records_can_be_skipped_and_are_listed(here, capsys):
    text = (here / "my.jsonl").read_text() + '{"question": 7, "answer": "a"}\n'
    (here / "some.jsonl").write_text(text)
    assert (
        run(
            "train",
            "pairs",
            "--data",
            "some.jsonl",
            "--columns",
            "question,answer",
            "--on-bad",
            "skip",
            "--out",
            "run",
            *SETTINGS,
            "--quiet",
        )
        == 0
    )
    assert "bad record" in capsys.readouterr().out
    listed = [json.loads(line) for line in (here / "run" / "bad_records.jsonl").read_text().splitlines()]
    assert len(listed) == 1
    assert "121" in json.dumps(listed[0])


def test_an_unwritable_place_is_said_and_nothing_is_trained(here, capsys):
    (here / "file").write_text("")
    assert run("train", "pairs", "--data", "my.jsonl", "--out", "file/run") == 4
    assert "cannot be written" in capsys.readouterr().err


def test_a_bad_model_is_an_error_of_data(trained, capsys):
    (trained / "run" / "model" / "model.safetensors").write_bytes(b"junk")
    assert run("evaluate", "run", "--data", "my.jsonl") == 3
    assert "model.safetensors" in capsys.readouterr().err
    assert run("encode", "nowhere", "--data", "my.jsonl", "--column", "answer", "--out", "v.npy") == 3
    assert not (trained / "v.npy").exists()


def test_encode_says_what_is_missing(trained, capsys):
    assert run("encode", "run", "--data", "my.jsonl", "--column", "anser", "--out", "v.npy") == 3
    assert "answer" in capsys.readouterr().err
    assert run("encode", "run", "--data", "my.jsonl", "--column", "answer") == 2
    assert "--out" in capsys.readouterr().err
    assert run("encode", "run", "--data", "my.jsonl", "--column", "answer", "--out", "nowhere/v.npy", "--quiet") == 4


def test_an_index_of_another_model_is_refused(trained, capsys):
    assert run("index", "run", "my.jsonl", "--column", "answer", "--out", "answers", "--quiet") == 0
    assert run("train", "pairs", "--data", "my.jsonl", "--out", "other", *SETTINGS, "--seed", "5", "--quiet") == 0
    capsys.readouterr()
    assert run("search", "answers", "badger", "--model", "other") == 3
    assert "cannot be compared" in capsys.readouterr().err
    assert run("search", "answers", "badger", "--model", "run") == 0


def test_csv_and_parquet_from_the_command_line(here, capsys):
    frame = pd.DataFrame(world()[:40], columns=["question", "answer"])
    frame["wrong"] = frame["answer"].iloc[::-1].to_list()
    frame.to_csv("my.csv", index=False)
    frame.to_parquet("my.parquet")
    made = {}
    for name in ("my.csv", "my.parquet"):
        assert (
            run(
                "train",
                "pairs",
                "--data",
                name,
                "--columns",
                "question,answer,wrong",
                "--out",
                name + ".run",
                *SETTINGS,
                "--json",
            )
            == 0
        )
        made[name] = json.loads(capsys.readouterr().out)
    assert made["my.csv"]["data"]["fingerprint"] == made["my.parquet"]["data"]["fingerprint"]
    assert made["my.csv"]["data"]["columns"] == ["question", "answer", "wrong"]


def test_ctrl_c_through_a_real_process(here):
    """SIGINT to the command while it trains: exit code 130, a complete checkpoint, and a command line to go on with."""
    words = [
        "-m",
        "nearfar",
        "train",
        "pairs",
        "--data",
        "my.jsonl",
        "--out",
        "run",
        *SETTINGS,
        "--set",
        "fit.epochs=3000",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here
    )
    metrics = here / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size > 1000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume run" in out
    assert "Traceback" not in err
    last = max((here / "run" / "checkpoints").iterdir())
    steps = len(metrics.read_text().splitlines())
    assert json.loads((last / "checkpoint.json").read_text())["step"] == steps
