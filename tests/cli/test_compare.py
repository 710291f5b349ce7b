"""`nearfar compare` on two trainings and on stored results: what it prints, as text and as JSON."""

import json

import numpy as np
import pytest

from nearfar.cli.main import main
from nearfar.probes.outcome import Outcome
from nearfar.probes.stored_outcomes import load_outcomes, save_outcomes
from nearfar.training.stored_held_out import LONGEST, held_out_outcome
from nearfar.training.train import train_run
from small_world import QUICK, world


@pytest.fixture(autouse=True)
def _in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def test_two_trainings(capsys, tmp_path):
    good = train_run("pairs", world(), out="good", settings=QUICK)
    train_run("pairs", world(), out="bad", settings=[*QUICK, "fit.learning_rate=0.0000001"])
    outcomes, about = load_outcomes(tmp_path / "good")
    assert outcomes["held-out"].figures()["mrr"] == pytest.approx(good.figures["mrr"]["mean"])
    assert set(outcomes["held-out"].names) == set(good.held_out.many("query", range(len(good.held_out))))
    assert about["data"]["fingerprint"] == good.model.about["data"]["fingerprint"]
    place = list(outcomes["held-out"].names).index(good.held_out.many("query", [3])[0])
    assert outcomes["held-out"].columns["mrr"][place] == good.retrieval.reciprocal_ranks[3]

    assert main(["compare", "bad", "good", "--most", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("good is better than bad in mrr (+0.")
    assert "recall@10" in said
    assert "Where B is above A by most (mrr of each)" in said
    assert "where does the" in said
    assert max(map(len, said.splitlines())) <= 100
    assert main(["compare", "bad", "good", "--json", "--most", "2"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "better"
    assert len(data["b_above_a"]) == 2
    assert data["b_above_a"][0]["name"] in outcomes["held-out"].names
    assert data["rows"][0]["b"] == pytest.approx(good.figures["mrr"]["mean"])
    assert main(["compare", "good", "bad", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "worse"

    train_run("pairs", world(), out="elsewhere", settings=[*QUICK, "held_out_seed=1"])
    assert main(["compare", "good", "elsewhere"]) == 3
    told = capsys.readouterr().err
    assert "different data" in told
    assert "one held-out set" in told


def test_seeds_are_measured_on_the_same_held_out_records(capsys):
    few = [*QUICK, "fit.epochs=1"]
    made = {
        f"{name}-{seed}": train_run("pairs", world(), out=f"{name}-{seed}", settings=[*few, *more], seed=seed)
        for seed in (1, 2)
        for name, more in (("a", ["fit.learning_rate=0.0000001"]), ("b", []))
    }
    parts = {tuple(one.held_out.many("query", range(len(one.held_out)))) for one in made.values()}
    assert len(parts) == 1
    assert made["b-1"].figures != made["b-2"].figures, "the seed does everything else"
    assert main(["compare", "a-1", "a-2", "--with", "b-1", "b-2", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert (row["n"], row["units"]) == (2, "runs")
    assert row["b"] == pytest.approx(np.mean([made[f"b-{seed}"].figures["mrr"]["mean"] for seed in (1, 2)]))


def test_several_tasks_and_seeds_with_long_names(capsys, tmp_path):
    names = [f"number {i}\n\x1b[31m{'long ' * 60}" for i in range(30)]

    def one(gain, seed):
        values = np.random.default_rng(seed).random(30) / 50 + gain
        return Outcome("retrieval", "mrr", "queries", {"mrr": values}, means=("mrr",), names=names)

    for seed in range(8):
        save_outcomes(tmp_path / f"a{seed}", {"s": one(0.5, seed), "t": one(0.3, seed)}, {})
        save_outcomes(tmp_path / f"b{seed}", {"s": one(0.6, seed + 9), "t": one(0.3, seed)}, {})
    assert main(["compare", "a0", "b0"]) == 0
    said = capsys.readouterr().out
    assert "b0 is better than a0 on 1 of 2 tasks" in said
    assert "\x1b" not in said
    assert "number 1" in said
    assert max(map(len, said.splitlines())) <= 100
    for count, claim in ((8, "b0 and 7 more is better than a0 and 7 more on 1 of 2 tasks"), (6, "No sure difference")):
        a, b = ([f"{side}{i}" for i in range(count)] for side in "ab")
        assert main(["compare", *a, "--with", *b, "--metric=mrr"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert claim in said
        assert ("with 6 runs not even the best task can be below 0.062, take more" in said) == (count == 6)
    assert main(["compare", "a0", "a1", "a2"]) == 2
    assert "--with" in capsys.readouterr().err
    assert main(["compare", "a0"]) == 2
    assert "only one side" in capsys.readouterr().err
    assert main(["compare", "a0", "b0", "--most", "-1"]) == 2
    assert main(["compare", "a0", "nowhere"]) == 3


def test_names_of_what_is_held_out_are_short_and_distinct():
    long = ["x" * 500 + str(i) for i in range(3)]
    made = train_run("pairs", [(f"q{i} {'y' * 300}", f"d{i}") for i in range(40)], out="run", settings=QUICK)
    found = held_out_outcome(made.retrieval, made.held_out)
    assert max(map(len, found.names)) <= LONGEST
    assert len(set(found.names)) == len(found)
    assert len({name[:150] for name in long}) == 1 < len(set(found.names)), "cutting alone would make them one"
