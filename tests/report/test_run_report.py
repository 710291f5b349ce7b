"""The report of a run and of two: what was trained shows in it, and it is rendered again without model and data."""

import json
import shutil

import numpy as np
import pytest

from nearfar.cli.main import main
from nearfar.cli.run_sample import sample_of
from nearfar.probes.stored_outcomes import load_outcomes
from nearfar.report.sample import Sample
from nearfar.training.train import train_run
from small_world import QUICK, world


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two runs on a file with a column that no training reads."""
    here = tmp_path_factory.mktemp("runs")
    lines = [{"question": q, "answer": a, "colour": q.split()[3], "place": i} for i, (q, a) in enumerate(world())]
    (here / "my.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, epochs in (("good", 6), ("bad", 1)):
        data = ["--data", str(here / "my.jsonl"), "--columns", "question,answer", "--out", str(here / name), "--quiet"]
        settings = [s for setting in [*QUICK, f"fit.epochs={epochs}", "held_out=0.3"] for s in ("--set", setting)]
        assert main(["train", "pairs", *data, *settings]) == 0
    return here


def test_a_run_keeps_a_sample_of_both_sides_with_the_columns_of_its_file(place):
    sample = Sample.load(place / "good" / "sample")
    assert len(sample.texts) == 240
    colours = list(sample.columns["colour"])
    assert all(
        f"the {c} " in t for c, t, s in zip(colours, sample.texts, sample.columns["side"], strict=True) if s == "query"
    )
    assert colours[:120] == colours[120:]
    assert colours[:120] != colours[119:239]
    assert sorted(np.asarray(sample.columns["place"])[:120].tolist()) == list(range(120))
    assert (~sample.pool[:120]).all()
    assert sample.pool[120:].all()
    held = [part == "held out" for part in sample.columns["part"][:120]]
    outcome = load_outcomes(place / "good")[0]["held-out"]
    assert sum(held) == len(outcome)
    answers = dict(world())
    assert list(outcome.columns["answer"]) == [answers[query] for query in outcome.names]
    figures = json.loads((place / "good" / "model" / "model.json").read_text())["about"]["held_out"]
    assert outcome.figure("mrr") == pytest.approx(figures["mrr"]["mean"])
    first = np.mean(outcome.columns["rank"] == 1)
    assert first == pytest.approx(outcome.figure("hit@1"), abs=0.1)  # ties are shared there


def test_ranks_are_those_of_the_vectors(place):
    sample = Sample.load(place / "good" / "sample")
    queries, answers = sample.texts[:120], sample.texts[120:]
    held = [i for i in range(120) if sample.columns["part"][i] == "held out"]
    documents = {answers[i]: sample.vectors[120 + i] for i in held}
    naive, shifted = {}, {}
    for i in held:
        scores = {text: float(sample.vectors[i] @ vector) for text, vector in documents.items()}
        naive[queries[i]] = 1 + sum(score > scores[answers[i]] + 1e-3 for score in scores.values())
        shifted[queries[i]] = 1 + sum(score > scores[answers[held[0]]] + 1e-3 for score in scores.values())
    outcome = load_outcomes(place / "good")[0]["held-out"]
    told = dict(zip(outcome.names, outcome.columns["rank"].tolist(), strict=True))
    near = [abs(told[q] - naive[q]) <= 1 for q in naive]  # vectors are kept in half precision
    assert np.mean(near) > 0.9
    assert np.mean([abs(told[q] - shifted[q]) <= 1 for q in naive]) < 0.9


def test_the_page_is_rendered_again_without_model_and_data(place, tmp_path, capsys):
    run = tmp_path / "good"
    shutil.copytree(place / "good", run)
    shutil.rmtree(run / "checkpoints")
    (run / "model" / "model.safetensors").unlink()
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    assert main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(run / "report.html")
    assert (run / "report.html").read_text() == before
    assert main(["report", str(run), "--color-by", "place", "--map", "tsne", "--out", str(tmp_path / "x.html")]) == 0
    other = (tmp_path / "x.html").read_text()
    assert "t-SNE" in other
    assert "selected>place" in other
    assert "selected>place" not in before
    for words in ("Single queries", "How the loss fell", "Near and far", "doctor", "240 points"):
        assert words in before
    assert main(["report", str(run), "--color-by", "colr"]) == 2
    assert "there are" in capsys.readouterr().err
    shutil.rmtree(run / "sample")
    assert main(["report", str(run)]) == 0
    alone = (run / "report.html").read_text()
    assert "240 points" not in alone
    assert "found first" in alone, "outcomes are kept beside the sample"


def test_two_runs_beside_each_other(place, tmp_path, capsys):
    out = tmp_path / "both.html"
    assert main(["report", str(place / "good"), "--against", str(place / "bad"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("good is better than bad")
    page = out.read_text()
    assert page.count("<canvas") == 2
    assert len(page) < 1_000_000
    assert "fit.epochs" in page
    assert "fit.batch_size" not in page.partition("Settings that differ")[2]
    assert main(["report", str(place / "bad"), "--against", str(place / "good"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("bad is worse than good")


def test_runs_on_other_data_are_not_compared(place, tmp_path, capsys):
    pairs = [(f"number {i}", f"return {i}") for i in range(60)]
    made = train_run("pairs", pairs, out=tmp_path / "other", settings=[*QUICK, "fit.epochs=1"])
    sample_of(made).save(made.run.directory / "sample")
    assert main(["report", str(place / "good"), "--against", str(tmp_path / "other")]) == 2
    assert "same held-out queries" in capsys.readouterr().err


def test_the_sample_is_bounded_in_number_and_time(tmp_path):
    pairs = [(f"number {i}", f"return {i}") for i in range(400)]
    made = train_run("pairs", pairs, out=tmp_path / "run", settings=[*QUICK, "fit.epochs=1"])
    assert len(sample_of(made, most=100).texts) == 100
    short = sample_of(made, seconds=0.0)
    assert len(short.texts) == 2 * 128
    assert "128 of 400 pairs" in short.note
    parts = list(short.columns["part"][:128])
    assert {"held out", "trained on"} == set(parts)
    assert len(sample_of(made).texts) == 800


def test_a_model_that_cannot_encode_has_a_report_without_a_map(tmp_path, monkeypatch, capsys):
    from nearfar.cli.run_report import write_run_report
    from nearfar.core.model import Model

    made = train_run("pairs", world(), out=tmp_path / "run", settings=[*QUICK, "fit.epochs=1"])
    monkeypatch.setattr(Model, "encode", lambda *_, **__: 1 / 0)
    page = write_run_report(made).read_text()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert "<canvas" not in page
    assert "How the loss fell" in page
