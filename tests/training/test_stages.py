"""Stages one after the other: what each leaves, the next one finds; and a user's own."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Decode, Measure, Refresh, Transform
from nearfar.training.train import train_run
from small_recipes import ENCODER, FIT, VIEWS, X, Y, changed, table

CONTRAST = Contrast(temperature=0.2)


def staged(*stages, **changes):
    return Recipe("staged", ENCODER, CONTRAST, stages, data="records", **({"streams": (X, Y)} | changes))


def test_a_transformation_whitens_the_published_vectors(tmp_path):
    made = train_run(
        staged(changed(FIT, epochs=1), Transform("whiten", Use("whiten"))),
        table(),
        out=tmp_path / "run",
        settings=["held_out=0"],
    )
    plain = train_run(staged(changed(FIT, epochs=1)), table(), out=tmp_path / "plain", settings=["held_out=0"])
    rows = table().fields["row"]
    made.model.similarity = plain.model.similarity = "dot"
    after, before = made.model.encode(rows), plain.model.encode(rows)
    # It was fitted to unit vectors, which the cosine gives out.
    unit = before / np.linalg.norm(before, axis=1, keepdims=True)
    again = (unit - made.model.shift.numpy()) @ made.model.matrix.numpy()
    assert np.allclose(np.cov(again, rowvar=False), np.eye(again.shape[1]), atol=1e-3)
    assert not np.allclose(np.cov(unit, rowvar=False), np.eye(unit.shape[1]), atol=0.1)
    assert after.shape[1] == again.shape[1] == made.model.dimension
    loaded = nf.load(tmp_path / "run")
    loaded.similarity = "dot"
    assert np.allclose(loaded.encode(rows), after, atol=1e-5)


def test_two_transformations_follow_one_another():
    from nearfar.core.model import Model
    from nearfar.encoders.mlp import Mlp

    torch.manual_seed(0)
    rows = table().fields["row"]
    model = Model({"row": Mlp.fit({"row": rows}, dimension=6, hidden=8, layers=2)}, "dot")
    first = model.encode(rows)
    a, b = (torch.randn(n, n + 1).T[:n, :n].numpy().astype(np.float32) for n in (6, 6))
    shift = np.arange(6, dtype=np.float32)
    model.transform(shift, a)
    second = model.encode(rows)
    assert np.allclose(second, (first - shift) @ a, atol=1e-4)
    model.transform(shift[::-1].copy(), b)
    assert np.allclose(model.encode(rows), (second - shift[::-1]) @ b, atol=1e-2)
    with pytest.raises(nf.UsageError, match="shape"):
        model.transform(shift[:3], a)


def test_a_later_stage_sees_columns_and_weights_of_the_earlier_ones(tmp_path):
    frozen = changed(FIT, name="second", epochs=2, streams=(X, Feed("y", "row", views=VIEWS, through="frozen")))
    towers = []

    class Look:
        name = "look"

        def run(self, state):
            towers.append({k: v.clone() for k, v in state.towers["encoder"].state_dict().items()})
            assert state.records.columns["cluster"].shape == (len(state.records),)

    teacher = []
    made = train_run(
        staged(
            changed(FIT, name="first", epochs=2), Refresh("find", Use("clusters", {"k": 4}), "cluster"), Look(), frozen
        ),
        table(),
        out=tmp_path / "run",
        callbacks=[lambda entry, learner: teacher.append(dict(learner.teachers.items()))],
    )
    old = teacher[-1]["frozen_encoder"].state_dict()
    assert all(torch.equal(old[k], towers[0][k]) for k in old), "the teacher is what the first stage left"
    assert not all(torch.equal(old[k], v) for k, v in made.model.encoders[0].state_dict().items())


def test_measure_and_decode_write_what_they_find(tmp_path):
    def spread(model, records):
        vectors = model.encode(records.many("row", range(len(records))))
        return {"spread": float(vectors.std())}

    made = train_run(
        staged(
            changed(FIT, epochs=1),
            Measure("counterparts"),
            Measure("mine", spread),
            Decode("say", lambda state: {"said": "hello"}),
        ),
        table(),
        out=tmp_path / "run",
    )
    assert made.model.about["measured"]["say"] == {"said": "hello"}
    assert made.model.about["measured"]["mine"]["spread"] > 0
    assert 0 < made.model.about["measured"]["counterparts"]["mrr"]["mean"] <= 1
    assert [e["stage"] for e in made.run.logged() if "measured" in e] == ["counterparts", "mine", "say"]


def test_two_stages_of_one_name_are_refused(tmp_path):
    with pytest.raises(nf.UsageError, match="two stages are called 'fit'"):
        train_run(staged(FIT, FIT), table(), out=tmp_path / "run")


def test_what_is_no_stage_is_refused(tmp_path):
    with pytest.raises(nf.UsageError, match="no stage"):
        train_run(staged(changed(FIT, epochs=1), "nothing"), table(), out=tmp_path / "run")


def test_bfloat16_trains_to_the_same_loss_within_noise(tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        fit = changed(FIT, precision=precision, epochs=8)
        losses[precision] = train_run(staged(fit), table(), out=tmp_path / precision).fitted.losses
    other = train_run(staged(changed(FIT, epochs=8)), table(), out=tmp_path / "other", seed=1).fitted.losses
    gap = abs(np.mean(losses["float32"][-6:]) - np.mean(losses["bfloat16"][-6:]))
    assert gap < max(0.05, abs(np.mean(losses["float32"][-6:]) - np.mean(other[-6:])))
    assert losses["float32"] != losses["bfloat16"], "nothing was computed in bfloat16"


def test_compile_is_asked_of_every_encoder_and_of_nothing_else(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **k: asked.append(type(self).__name__))
    train_run(staged(changed(FIT, epochs=1, compile=True)), table(), out=tmp_path / "run")
    assert asked == ["Mlp"]
