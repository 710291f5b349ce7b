"""A model comes back as it was, and nothing in a model directory is trusted."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import nearfar as nf
from failing_renames import fail_second_rename
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.files import sha256
from small_world import QUICK, world


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return nf.train("pairs", world(), out=tmp_path_factory.mktemp("run") / "run", settings=QUICK)


@pytest.fixture
def saved(model, tmp_path):
    return model.save(tmp_path / "model")


def test_round_trip(model, saved):
    texts = ["where does the coral badger live", "", "topaz"]
    again = nf.load(saved)
    assert np.array_equal(again.encode(texts), model.encode(texts))
    assert again.fingerprint == model.fingerprint
    assert again.about == model.about
    for parameter in again.parameters():
        torch.nn.init.normal_(parameter)
    assert not np.array_equal(again.encode(texts), model.encode(texts))
    assert again.fingerprint != model.fingerprint


def test_encode_is_local_ordered_and_unit(model):
    texts = [q for q, _ in world()]
    together = model.encode(texts, at_once=300)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([model.encode([t]) for t in texts])
    assert np.allclose(together, alone, atol=1e-6)
    assert not np.allclose(together, alone[::-1], atol=1e-2)
    assert model.encode([]).shape == (0, 32)


def test_encode_refuses_one_string_and_unknown_sides(model):
    with pytest.raises(UsageError, match=r"model.encode\(\[text\]\)"):
        model.encode("text")
    with pytest.raises(UsageError, match=r"no side 'image'.*document"):
        model.encode(["text"], side="image")


class Marker:
    """What a pickle would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def edit(saved, change):
    data = json.loads((saved / "model.json").read_text())
    change(data)
    (saved / "model.json").write_text(json.dumps(data))


def rewrite(saved, change):
    tensors = load_file(saved / "model.safetensors")
    change(tensors)
    save_file(tensors, saved / "model.safetensors")
    edit(saved, lambda d: d.update(weights=sha256(saved / "model.safetensors")))


def first(tensors):
    return next(iter(sorted(tensors)))


DAMAGE = {
    "no model.json": (lambda m: (m / "model.json").unlink(), "no model.json"),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), "incomplete"),
    "empty json": (lambda m: (m / "model.json").write_text(""), "no JSON"),
    "cut json": (lambda m: (m / "model.json").write_text((m / "model.json").read_text()[:40]), "no JSON"),
    "deep json": (lambda m: (m / "model.json").write_text("[" * 100_000), "no JSON"),
    "other json": (lambda m: (m / "model.json").write_text("[1, 2]"), "no nearfar-model"),
    "no utf-8": (lambda m: (m / "model.json").write_bytes(b'{"format": "\xff"}'), "no JSON"),
    "newer version": (lambda m: edit(m, lambda d: d.update(version=99)), "version 99; this nearfar reads version 1"),
    "unknown encoder": (lambda m: edit(m, lambda d: d["encoders"][0].update(part="os")), "no encoders named 'os'"),
    "encoder by path": (lambda m: edit(m, lambda d: d["encoders"][0].update(part="../../evil")), "no encoders named"),
    "encoder of a number": (lambda m: edit(m, lambda d: d["encoders"][0].update(part=3)), "does not make a model"),
    "no sides": (lambda m: edit(m, lambda d: d.pop("sides")), "does not make a model"),
    "huge": (lambda m: edit(m, lambda d: d["encoders"][0]["config"].update(dimension=10**9)), "no configuration"),
    "cut weights": (
        lambda m: (m / "model.safetensors").write_bytes((m / "model.safetensors").read_bytes()[:-9]),
        "no safetensors",
    ),
    "empty weights": (lambda m: (m / "model.safetensors").write_bytes(b""), "no safetensors"),
    "other weights": (lambda m: rewrite(m, lambda t: t.update(extra=torch.zeros(2))), "extra"),
    "other shape": (lambda m: rewrite(m, lambda t: t.update({first(t): torch.zeros(2, 2)})), "has shape"),
    "not finite": (lambda m: rewrite(m, lambda t: t[first(t)].fill_(float("nan"))), "not finite"),
    "other type": (lambda m: rewrite(m, lambda t: t.update({first(t): t[first(t)].double()})), "float64"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_refused_with_its_file(name, saved):
    assert nf.load(saved) is not None
    harm, said = DAMAGE[name]
    harm(saved)
    with pytest.raises((DataError, UsageError), match=said) as caught:
        nf.load(saved)
    assert str(saved) in caught.value.where or name in ("unknown encoder", "encoder by path")
    assert caught.value.remedy


def test_a_flipped_bit_in_the_weights_is_noticed(saved):
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (saved / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(DataError, match="digest"):
        nf.load(saved)


def test_a_pickle_in_its_place_is_never_run(saved, tmp_path):
    marker = tmp_path / "executed"
    evil = pickle.dumps(Marker(marker))
    (saved / "model.safetensors").write_bytes(evil)
    (saved / "model.json").with_suffix(".pkl").write_bytes(evil)
    with pytest.raises(DataError, match="no safetensors"):
        nf.load(saved)
    assert not marker.exists()
    pickle.loads(evil)
    assert marker.exists(), "the pickle is harmless, so the test proves nothing"


def test_save_replaces_a_model_and_nothing_else(model, saved, tmp_path):
    model.save(saved)
    assert nf.load(saved).fingerprint == model.fingerprint
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis.txt.*left alone"):
        model.save(other)
    assert (other / "thesis.txt").read_text() == "mine"


def test_a_save_that_fails_leaves_the_old_model(model, saved, monkeypatch):
    before = nf.load(saved).fingerprint

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nearfar.core.model.save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        model.save(saved)
    assert nf.load(saved).fingerprint == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model"]


def test_dying_between_the_two_renames_keeps_the_old_model(model, saved, monkeypatch):
    fail_second_rename(monkeypatch, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save(saved)
    monkeypatch.undo()
    assert not saved.exists()
    assert nf.load(saved).fingerprint == model.fingerprint
    model.save(saved)
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_an_unwritable_place(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        model.save(tmp_path / "file" / "model")


def test_loading_needs_no_memory_for_what_a_file_claims(saved):
    """A description of a terabyte of weights is refused by the shapes, before any of it is taken."""
    edit(saved, lambda d: d["encoders"][0]["config"].update(dimension=10**7))
    with pytest.raises(DataError):
        nf.load(saved)


def test_a_run_directory_serves_as_a_model(tmp_path):
    nf.train("pairs", world()[:30], out=tmp_path / "run", settings=QUICK)
    assert nf.load(tmp_path / "run").fingerprint == nf.load(tmp_path / "run" / "model").fingerprint
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(DataError, match="no model yet"):
        nf.load(tmp_path / "run")
