"""`nearfar tune`: what it prints, its JSON, the command it proposes, and every wrong call."""

import json
import re
import shlex

import pytest

from nearfar.cli.main import main
from nearfar.cli.tune import parse_duration
from nearfar.core.errors import UsageError
from small_world import world, write_jsonl

SETTINGS = [
    f"--set={s}"
    for s in (
        "fit.epochs=4",
        "fit.min_steps=0",
        "fit.batch_size=64",
        "encoder.dimension=16",
        "encoder.buckets=256",
        "held_out=0.2",
    )
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    write_jsonl(tmp_path / "my.jsonl", world())
    (tmp_path / "space.json").write_text('{"fit.learning_rate": [0.00001, 0.02], "objective.temperature": [-1.0]}')
    (tmp_path / "good.json").write_text('{"fit.learning_rate": [0.00001, 0.02]}')
    return tmp_path


def run(capsys, *words):
    code = main(["tune", *words])
    written = capsys.readouterr()
    return code, written.out, written.err


def test_the_table_the_gain_and_the_command(here, capsys):
    words = [
        "pairs",
        "--data",
        "my.jsonl",
        "--columns",
        "question,answer",
        "--space",
        "good.json",
        "--out",
        "s",
        *SETTINGS,
    ]
    code, out, err = run(capsys, *words, "--quiet")
    assert code == 0, err
    assert re.search(r"3 settings on \d+ development records, the best first", out)
    rows = [line.split() for line in out.splitlines() if line.strip()[:2] in ("0.", "1.")]
    assert len(rows) == 3
    assert rows[-1][-1] == "1e-05"
    assert "as in the recipe" in out
    assert "24 records that `nearfar train` holds out had no part in this" in " ".join(out.split())
    last = out.strip().splitlines()[-1]
    assert last.startswith("nearfar train pairs --data my.jsonl --columns question,answer --set fit.epochs=4")
    assert last.endswith("--set fit.learning_rate=0.02")
    assert "development records" in out
    # What it proposes runs.
    capsys.readouterr()
    assert main([*shlex.split(last)[1:], "--out", "final", "--quiet"]) == 0
    assert "held-out" in capsys.readouterr().out


def test_json_failures_and_going_on(here, capsys):
    words = ["pairs", "--data", "my.jsonl", "--space", "space.json", "--out", "s", *SETTINGS]
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made["version"] == 1
    assert made["trials"][0]["settings"] == {}
    assert made["best"] == {}
    assert made["arguments"] == []
    assert all("temperature must be positive" in t["error"] for t in made["trials"][1:])
    assert made["pending"] == 0
    code, out, _ = run(capsys, *words, "--quiet")
    assert code == 0
    assert out.count("failed: ") == 2
    assert "No settings were better than the recipe's own." in out
    assert "nearfar train" not in out.splitlines()[-1] or "holds out" in out.splitlines()[-1]


def test_a_budget_is_said(here, capsys):
    words = ["pairs", "--data", "my.jsonl", "--space", "good.json", "--out", "s", *SETTINGS, "--quiet"]
    code, out, _ = run(capsys, *words, "--budget", "0.001s")
    assert code == 0
    assert "2 trainings were not begun within the budget" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pairs", "--data", "my.jsonl", "--space", "good.json"], 2, "--out"),
        (["pairs", "--data", "my.jsonl", "--out", "s"], 2, "--space"),
        (["pairs", "--space", "good.json", "--out", "s"], 2, "--data"),
        (["pair", "--data", "my.jsonl", "--space", "good.json", "--out", "s"], 2, "did you mean pairs"),
        (["pairs", "--data", "none.jsonl", "--space", "good.json", "--out", "s"], 3, "no such file"),
        (["pairs", "--data", "my.jsonl", "--space", "none.json", "--out", "s"], 3, "none.json"),
        (["pairs", "--data", "my.jsonl", "--space", "good.json", "--out", "s", "--budget", "soon"], 2, "10m"),
        (["pairs", "--data", "my.jsonl", "--space", "good.json", "--out", "s", "--trials", "0"], 2, "at least one"),
        (["pairs", "--data", "my.jsonl", "--space", "good.json", "--out", "my.jsonl"], 4, "my.jsonl"),
    ],
)
def test_wrong_calls(here, capsys, words, code, said):
    got, out, err = run(capsys, *words)
    assert got == code
    assert said in err
    assert err.startswith("error: ")
    assert "do: " in err
    assert out == ""


def test_times():
    assert [parse_duration(t, "") for t in ("90", "90s", "10m", "1.5 H", "2d")] == [90, 90, 600, 5400, 172_800]
    for text in ("", "m", "0", "-1m", "10 minutes", "nan", "1e3"):
        with pytest.raises(UsageError, match="no time"):
            parse_duration(text, "--budget")
