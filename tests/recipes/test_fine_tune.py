"""A pretrained text encoder learns pairs, with its prompts, and is given back as a folder that encodes alike."""

import json

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.shared.sentence_folder import TextSetup
from nearfar.recipes.text.fine_tune import recipe
from nearfar.training.train import train_run
from tiny_models import TEXTS, text_folder

WORDS = "cat sat mat dogs chase cats hills far away sum two numbers download file web close".split()
# The right answer of a word is the word itself among others; a tiny model has only to look at it.
PAIRS = [(f"the {a} of {b}", f"over many {a} and {b} on it") for a in WORDS for b in WORDS[:6] if a != b]
QUICK = ["fit.learning_rate=3e-3", "fit.batch_size=24", "fit.epochs=6"]


@pytest.fixture
def folder(tmp_path):
    return text_folder(tmp_path / "encoder")


def test_it_learns_and_its_defaults_are_gentle(folder, tmp_path):
    settings = [*QUICK, f"encoder.folder={folder}", "encoder.query_prompt=find: "]
    before = nf.load(folder)
    made = train_run("fine_tune", PAIRS, out=tmp_path / "run", settings=settings)
    queries, documents = made.held_out.many("query", range(8)), made.held_out.many("document", range(8))

    def found(model):
        x, y = model.encode(queries, side="query"), model.encode(documents, side="document")
        return float(((x @ y.T).argmax(1) == np.arange(8)).mean())

    assert made.figures["mrr"]["mean"] > 0.5
    assert found(made.model) > found(before) + 0.2
    sides = [made.model.encode(["a file"], side=side) for side in ("query", "document")]
    assert abs(sides[0] - sides[1]).max() > 1e-3, "a prompt stands before queries alone"
    gentle = train_run(
        "fine_tune", PAIRS, out=tmp_path / "gentle", settings=[f"encoder.folder={folder}", "fit.epochs=1"]
    )
    moved = [abs(m.encode(TEXTS) - before.encode(TEXTS)).max() for m in (gentle.model, made.model)]
    assert 0 < moved[0] < 0.05 < moved[1]


def test_what_is_saved_can_be_trained_further_and_loaded_like_a_model(folder, tmp_path):
    model = nf.train(
        "fine_tune",
        PAIRS,
        settings=[*QUICK, f"encoder.folder={folder}", "fit.epochs=1"],
        out=tmp_path / "a",
        progress=False,
    )
    saved = nf.save_sentence_transformer(model, tmp_path / "saved")
    assert np.allclose(nf.load(saved).encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert not np.allclose(nf.load(folder).encode(TEXTS), model.encode(TEXTS), atol=1e-3)
    further = train_run(
        "fine_tune", PAIRS, settings=[*QUICK, f"encoder.folder={saved}", "fit.epochs=1"], out=tmp_path / "b"
    )
    first = train_run(
        "fine_tune", PAIRS, settings=[*QUICK, f"encoder.folder={folder}", "fit.epochs=1"], out=tmp_path / "c"
    )
    assert further.fitted.losses[0] < first.fitted.losses[0] - 0.1


def test_a_plain_folder_of_transformers_is_a_model_with_the_mean(folder, tmp_path):
    model = nf.load(folder)
    assert sorted(model.sides) == ["document", "query"]
    encoder = nf.Pretrained.fit({}, folder=folder, pooling="mean").eval()
    with torch.no_grad():
        rows = torch.nn.functional.normalize(encoder(encoder.prepare(TEXTS)).vectors, dim=1)
    assert np.allclose(model.encode(TEXTS), rows.numpy(), atol=1e-6)
    assert TextSetup().pooling == "mean"
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(DataError, match=r"no model\.json"):
        nf.load(tmp_path / "odd")


def test_without_a_folder_it_says_what_to_set(tmp_path):
    with pytest.raises(UsageError, match=r"--set encoder\.folder"):
        train_run("fine_tune", PAIRS, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_defaults_are_those_that_its_text_argues_for():
    made = recipe()
    (fit,) = made.stages
    assert (fit.optimiser, fit.learning_rate, fit.schedule, fit.warmup) == ("adamw", 2e-5, "linear", 0.1)
    assert (fit.batch_size, fit.weight_decay, fit.clip, fit.epochs) == (256, 0.01, 1.0, 3)
    assert made.objective.both_ways


def test_it_is_resumed_from_python_by_its_directory_alone(folder, tmp_path):
    (tmp_path / "my.jsonl").write_text("".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in PAIRS))
    settings = [f"encoder.folder={folder}", "fit.epochs=1", "fit.batch_size=24"]
    model = nf.train("fine_tune", tmp_path / "my.jsonl", settings=settings, out=tmp_path / "run", progress=False)
    again = nf.train(resume=tmp_path / "run", progress=False)
    assert again.fingerprint == model.fingerprint
    assert again.about["recipe"]["name"] == "fine_tune"
