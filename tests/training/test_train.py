"""`nf.train` on a small world: it learns what is there, says nothing more than it knows, repeats and resumes exactly."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import nearfar as nf
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.recipe import Contrast, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.training import fit as fitting
from nearfar.training.held_out import measure
from nearfar.training.train import train_run
from small_world import QUICK, world, write_jsonl


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def test_it_learns_and_the_figures_are_those_of_the_held_out_pairs(tmp_path):
    before = []
    made = train_run(
        "pairs", world(), out=tmp_path / "run", settings=QUICK, on_start=lambda m: before.append(m.encode(["coral"]))
    )
    trained = measure(made.model, made.held_out)
    assert trained.mrr > 0.5, "chance is below 0.3 among twelve"
    assert made.figures["mrr"]["mean"] == pytest.approx(trained.mrr)
    assert made.fitted.losses[-1] < 0.5 * made.fitted.losses[0]
    assert not np.allclose(before[0], made.model.encode(["coral"]), atol=1e-3)
    assert not set(made.held_out.fields["query"]) & set(made.records.fields["query"])


def test_the_same_seed_gives_the_same_numbers_and_another_seed_does_not(tmp_path):
    runs = [
        nf.train("pairs", world(), out=tmp_path / str(i), settings=QUICK, seed=seed) for i, seed in enumerate((3, 3, 4))
    ]
    assert equal(weights(runs[0]), weights(runs[1]))
    assert runs[0].fingerprint == runs[1].fingerprint != runs[2].fingerprint
    assert runs[0].about["held_out"] == runs[1].about["held_out"]


def test_the_users_generator_is_left_alone(tmp_path):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    nf.train("pairs", world()[:30], out=tmp_path / "run", settings=QUICK)
    assert torch.equal(torch.rand(3), want)


def interrupt_at(monkeypatch, step):
    """Ctrl-C in the middle of a step, as a signal would bring it."""
    seen, real = [0], fitting.backward

    def backward(*arguments, **options):
        seen[0] += 1
        if seen[0] == step:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(fitting, "backward", backward)


def test_ctrl_c_returns_the_model_so_far_and_the_run_resumes_exactly(tmp_path, monkeypatch):
    whole = train_run("pairs", world(), out=tmp_path / "whole", settings=QUICK)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        part = train_run("pairs", world(), out=tmp_path / "part", settings=QUICK)
    assert part.fitted.interrupted
    assert part.fitted.steps == 4
    assert part.model.encode(["coral badger"]).shape == (1, 32)
    assert not part.run.model.exists()
    with pytest.raises(DataError, match="--resume"):
        nf.load(part.run.directory)
    resumed = train_run("pairs", world(), resume=tmp_path / "part", settings=QUICK)
    assert equal(weights(resumed.model), weights(whole.model))
    assert not equal(weights(part.model), weights(whole.model))
    assert resumed.fitted.losses == pytest.approx(whole.fitted.losses)
    assert [e["step"] for e in resumed.run.logged()] == list(range(1, whole.fitted.total + 1))


def test_a_signal_waits_for_the_end_of_the_step(tmp_path, monkeypatch):
    """SIGINT in the middle of the optimiser's step: the step is finished, logged and counted, and the run resumes exactly."""
    whole = train_run("pairs", world(), out=tmp_path / "whole", settings=QUICK)
    real, seen = torch.optim.AdamW.step, [0]

    def step(self, *arguments, **options):
        seen[0] += 1
        if seen[0] == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        part = train_run("pairs", world(), out=tmp_path / "part", settings=QUICK)
    assert part.fitted.interrupted
    assert part.fitted.steps == len(part.run.logged()) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = train_run("pairs", world(), resume=tmp_path / "part", settings=QUICK)
    assert equal(weights(resumed.model), weights(whole.model))


def test_a_second_signal_ends_the_step_at_once(tmp_path, monkeypatch):
    def backward(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second signal did not end the step")

    monkeypatch.setattr(fitting, "backward", backward)
    made = train_run("pairs", world(), out=tmp_path / "run", settings=QUICK)
    assert made.fitted.interrupted
    assert made.fitted.steps == 0


def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path, monkeypatch):
    """Nothing is written after the last checkpoint but half a line of metrics."""
    whole = train_run("pairs", world(), out=tmp_path / "whole", settings=QUICK)
    settings = [*QUICK, "fit.checkpoint=0"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        part = train_run("pairs", world(), out=tmp_path / "part", settings=settings)
    with part.run.metrics.open("a") as file:
        file.write('{"step": 6, "loss": 1.2')
    resumed = train_run("pairs", world(), resume=tmp_path / "part", settings=settings)
    assert equal(weights(resumed.model), weights(whole.model))


def test_from_python_ctrl_c_gives_the_model_so_far_and_says_how_to_go_on(tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3)
    with pytest.warns(UserWarning, match=r"interrupted after 2 of 6 steps.*resume="):
        model = nf.train("pairs", world()[:70], out=tmp_path / "run", settings=[*QUICK, "fit.batch_size=63"])
    assert model.encode(["coral badger"]).shape == (1, 32)
    assert model.about["interrupted"]


def test_a_run_of_two_stages_resumes_in_its_second(tmp_path, monkeypatch):
    stages = (Fit("first", batch_size=40, epochs=1), Fit("second", batch_size=30, epochs=2, learning_rate=0.02))
    recipe = Recipe("two", Use("static", {"dimension": 16}), Contrast(), stages)
    whole = train_run(recipe, world(), out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        train_run(recipe, world(), out=tmp_path / "part")
    resumed = train_run(recipe, world(), resume=tmp_path / "part")
    assert equal(weights(resumed.model), weights(whole.model))
    logged = [(e["stage"], e["step"], e["loss"]) for e in resumed.run.logged()]
    assert logged == [(e["stage"], e["step"], e["loss"]) for e in whole.run.logged()]
    assert {stage for stage, _, _ in logged} == {"first", "second"}


def test_resuming_with_other_data_or_settings_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        train_run("pairs", world(), out=tmp_path / "run", settings=QUICK)
    with pytest.raises(UsageError, match="other data: records was 120, now 119"):
        train_run("pairs", world()[:-1], resume=tmp_path / "run", settings=QUICK)
    with pytest.raises(UsageError, match="another recipe"):
        train_run("pairs", world(), resume=tmp_path / "run", settings=[*QUICK, "objective.temperature=0.2"])
    for state in (tmp_path / "run" / "checkpoints").glob("*/state.safetensors"):
        state.write_bytes(b"damaged")
    with (
        pytest.warns(RuntimeWarning, match="damaged"),
        pytest.raises(DataError, match="damaged"),
    ):
        train_run("pairs", world(), resume=tmp_path / "run", settings=QUICK)


@pytest.mark.parametrize("form", ["list", "dict", "frame", "jsonl", "csv", "parquet"])
def test_every_form_of_the_same_data_trains_the_same_model(form, tmp_path):
    data = world()[:60]
    columns = {"question": [q for q, _ in data], "answer": [a for _, a in data]}
    forms = {"list": lambda: data, "dict": lambda: columns, "frame": lambda: pd.DataFrame(columns)}
    if form == "jsonl":
        source = write_jsonl(tmp_path / "data.jsonl", data)
    elif form in ("csv", "parquet"):
        source = tmp_path / f"data.{form}"
        frame = pd.DataFrame(columns)
        frame.to_csv(source, index=False) if form == "csv" else frame.to_parquet(source)
    else:
        source = forms[form]()
    model = nf.train("pairs", source, out=tmp_path / "run", settings=QUICK)
    reference = nf.train("pairs", data, out=tmp_path / "reference", settings=QUICK)
    assert equal(weights(model), weights(reference))


def test_explicit_hard_negatives_take_part(tmp_path):
    data = world()[:60]
    hard = [(q, a, data[(i + 1) % 60][1]) for i, (q, a) in enumerate(data)]
    settings = [*QUICK, "held_out=0.0"]
    with_negatives = train_run("pairs", hard, out=tmp_path / "hard", settings=settings)
    without = train_run("pairs", data, out=tmp_path / "plain", settings=settings)
    assert with_negatives.run.logged()[0]["keys"] == 2 * without.run.logged()[0]["keys"]
    assert not equal(weights(with_negatives.model), weights(without.model))


def test_pairs_that_share_a_text_are_no_negatives_of_each_other(tmp_path):
    twice = [(f"{q} please", a) for q, a in world()[:40]] + world()[:40]
    kept = train_run(
        "pairs", twice, out=tmp_path / "kept", settings=[*QUICK, "held_out=0.0", "fit.batch_size=80", "fit.epochs=1"]
    )
    eaten = train_run(
        "pairs",
        twice,
        out=tmp_path / "eaten",
        settings=[*QUICK, "held_out=0.0", "fit.batch_size=80", "fit.epochs=1", "objective.same_text=negative"],
    )
    assert kept.fitted.losses[0] < eaten.fitted.losses[0] - 0.05


def test_too_few_pairs_train_on_all_and_measure_nothing(tmp_path):
    made = train_run("pairs", world()[:12], out=tmp_path / "run", settings=QUICK)
    assert made.held_out is None
    assert made.figures == {}
    assert len(made.records) == 12


def test_a_loss_that_is_not_finite_stops_with_a_remedy(tmp_path):
    def exploding(scores, block):
        return scores.sum(1) * torch.inf

    recipe = Recipe("mine", Use("static", {"dimension": 8}), Contrast(rule=exploding), (Fit(batch_size=16),))
    with pytest.raises(UsageError, match="step 1") as caught:
        nf.train(recipe, world()[:40], out=tmp_path / "run")
    assert "learning rate" in caught.value.remedy
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_weights_that_are_no_numbers_do_not_replace_the_last_checkpoint(tmp_path, monkeypatch):
    real, seen = torch.optim.AdamW.step, [0]

    def step(self, *arguments, **options):
        real(self, *arguments, **options)
        seen[0] += 1
        if seen[0] == 3:
            next(iter(self.param_groups[0]["params"])).data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(UsageError, match="step 4"):
        nf.train("pairs", world(), out=tmp_path / "run", settings=[*QUICK, "fit.checkpoint=0"])
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    kept = load_file(last / "state.safetensors")
    assert json.loads((last / "checkpoint.json").read_text())["step"] == 2
    assert all(t.isfinite().all() for t in kept.values())


def test_a_run_that_died_before_its_first_checkpoint_starts_again(tmp_path, monkeypatch):
    whole = train_run("pairs", world(), out=tmp_path / "whole", settings=QUICK)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        part = train_run("pairs", world(), out=tmp_path / "part", settings=QUICK)
    shutil.rmtree(part.run.checkpoints)
    resumed = train_run("pairs", world(), resume=tmp_path / "part", settings=QUICK)
    assert equal(weights(resumed.model), weights(whole.model))
    assert [e["step"] for e in resumed.run.logged()] == [e["step"] for e in whole.run.logged()]


def test_any_whole_number_is_a_seed(tmp_path):
    for seed in (-1, 2**40):
        assert (
            nf.train("pairs", world()[:30], out=tmp_path / str(seed), settings=QUICK, seed=seed).encode(["coral"]).any()
        )


def test_an_existing_directory_is_never_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ResourceError, match="not empty"):
        nf.train("pairs", world(), out=tmp_path, settings=QUICK)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_configuration_is_complete(tmp_path):
    made = train_run("pairs", world(), out=tmp_path / "run", settings=QUICK, seed=7)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["seed"] == 7
    assert config["recipe"]["stages"][0]["batch_size"] == 64
    assert config["data"]["fingerprint"] == nf.pairs(world()).fingerprint
    assert nf.load(tmp_path / "run").about["recipe"] == made.run.config["recipe"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["encoder.dimenson=4"], "no option 'dimenson'"),
        (["encoder.part=statik"], "did you mean static"),
        (["objective.rule=info_nse"], "did you mean info_nce"),
        (["objective.similarity=cosin"], "is none of"),
        (["objective.temperature=-1"], "positive"),
    ],
)
def test_a_wrong_setting_is_named(settings, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        nf.train("pairs", world()[:40], out=tmp_path / "run", settings=settings)


@pytest.mark.parametrize("rule", ["decoupled", "sigmoid"])
def test_other_rules_train_too(rule, tmp_path):
    settings = [*QUICK, f"objective.rule={rule}", "objective.learn_temperature=true"]
    if rule == "sigmoid":
        settings += ["objective.learn_bias=true", "objective.bias=-4", "objective.temperature=0.1"]
    made = train_run("pairs", world(), out=tmp_path / "run", settings=settings)
    assert made.figures["mrr"]["mean"] > 0.5
