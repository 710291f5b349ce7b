"""`nearfar doctor`: what it prints about a run's directory, as text and as JSON, and about one that holds nothing."""

import argparse
import json

import pytest

from nearfar.cli import doctor
from nearfar.core.errors import DataError
from nearfar.training.run import FORMAT, VERSION

SIGNS = {
    "scored_chance": 4.159,
    "candidates": 64.0,
    "positives": 1.0,
    "mean_cosine/x": 0.1,
    "update_ratio/encoder": 0.01,
}


@pytest.fixture
def write(tmp_path):
    """A run directory with these losses and figures."""

    def made(loss, count=60, **signs):
        fit = {"name": "fit", "learning_rate": 0.005, "epochs": 3.0}
        recipe = {"objective": {"rule": "info_nce", "temperature": 0.05}, "stages": [fit]}
        config = {"format": FORMAT, "version": VERSION, "recipe": recipe}
        (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
        lines = [{"stage": "fit", "step": i, "loss": loss, **SIGNS, **signs} for i in range(1, count + 1)]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return tmp_path

    return made


def run(*words):
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return doctor.run(parser.parse_args([str(w) for w in words]))


def test_a_sick_run(write, capsys):
    place = write(4.159, found_first=0.01)
    assert run(place) == 0
    said = capsys.readouterr().out
    assert "60 steps of fit" in said
    assert "error: chance_level" in said
    assert "   why: " in said
    assert "--set fit.epochs=9" in said
    assert "not measured: over-fitting (nothing was held out)" in said


def test_as_json(write, capsys):
    place = write(4.159, found_first=0.01)
    assert run(place, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == {"fit": 60}
    (finding,) = told["findings"]
    assert finding["name"] == "chance_level"
    assert finding["where"] == [55, 60]
    assert finding["evidence"]["chance"] == pytest.approx(4.159)


def test_a_healthy_run(write, capsys):
    place = write(0.4, found_first=0.95)
    assert run(place) == 0
    said = capsys.readouterr().out
    assert "nothing is wrong, as far as it was measured" in said
    assert "error" not in said
    assert run(place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_half_a_line_of_a_killed_run_is_no_trouble(write, capsys):
    place = write(0.4)
    with (place / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "fit", "st')
    assert run(place) == 0
    assert "60 steps" in capsys.readouterr().out


def test_a_run_without_steps_and_no_run(write, tmp_path):
    with pytest.raises(DataError, match="nothing down yet"):
        run(write(0.4, count=0))
    with pytest.raises(DataError, match="no such run"):
        run(tmp_path / "elsewhere")
