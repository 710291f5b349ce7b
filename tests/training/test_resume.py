"""Killed at any step and resumed, a run ends as if nothing had happened: weights, optimiser, queue, teachers, columns, log, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.core.errors import DataError
from nearfar.training import checkpoint, fit, kept
from nearfar.training.train import train_run
from small_recipes import FIT, RECIPES, changed, small, table

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """What no code expects: as if the process were gone."""


def last_state(run):
    """All that the last checkpoint holds."""
    folder = max(p for p in run.checkpoints.iterdir() if p.name != "best")
    about = json.loads((folder / "checkpoint.json").read_text())
    return load_file(folder / "state.safetensors"), {k: about[k] for k in ("stage", "step", "numbers")}


def steps(run):
    """The log without what the clock says."""
    timed = ("seconds", "plan")
    return [{k: v for k, v in entry.items() if k not in timed} for entry in run.logged()]


def assert_same(a, b):
    (tensors, numbers), (others, other_numbers) = last_state(a), last_state(b)
    assert numbers == other_numbers
    assert tensors.keys() == others.keys()
    assert [k for k in tensors if not torch.equal(tensors[k], others[k])] == []
    assert steps(a) == steps(b)


def killed_at(monkeypatch, step):
    seen, real = [0], fit.backward

    def backward(*arguments, **options):
        seen[0] += 1
        if seen[0] == step:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(fit, "backward", backward)


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(name, tmp_path, monkeypatch):
    recipe = RECIPES[name]
    whole = train_run(recipe, table(), out=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 9)
        train_run(recipe, table(), out=tmp_path / "part")
    resumed = train_run(recipe, table(), resume=tmp_path / "part")
    assert_same(resumed.run, whole.run)
    final, other = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(final[k], other[k]) for k in final)
    assert resumed.figures == whole.figures
    assert steps(whole.run)[0]["update_ratio/encoder"] > 0, "it trained"


def test_the_comparison_tells_a_run_that_lost_something(tmp_path, monkeypatch):
    """Beside each thing that a checkpoint holds: without it, the run ends elsewhere."""
    recipe = RECIPES["queue and momentum teacher"]
    whole = train_run(recipe, table(), out=tmp_path / "whole")
    real = checkpoint.restore
    for lost in ("optimiser.0", "weights.terms", "weights.teachers"):

        def forgetful(made, module, optimiser, lost=lost):
            fresh = checkpoint.state_of(module, optimiser)[0]
            tensors = {
                k: (fresh.get(k, torch.zeros_like(v)) if k.startswith(lost) else v) for k, v in made.tensors.items()
            }
            tensors = {k: v for k, v in tensors.items() if k in fresh or not k.startswith("weights.terms")}
            real(checkpoint.Checkpoint(made.stage, made.name, made.step, tensors, made.numbers), module, optimiser)

        with monkeypatch.context() as patch:
            with pytest.raises(Killed):
                killed_at(patch, 9)
                train_run(recipe, table(), out=tmp_path / lost)
            patch.undo()
            patch.setattr(kept, "restore", forgetful)
            resumed = train_run(recipe, table(), resume=tmp_path / lost)
        with pytest.raises(AssertionError):
            assert_same(resumed.run, whole.run)


def test_it_may_be_killed_at_every_step(tmp_path, monkeypatch):
    recipe = small("short", fit=changed(FIT, epochs=3, checkpoint_steps=2))
    whole = train_run(recipe, table(60), out=tmp_path / "whole")
    for step in range(1, whole.fitted.total + 1):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, step)
            train_run(recipe, table(60), out=tmp_path / str(step))
        assert_same(train_run(recipe, table(60), resume=tmp_path / str(step)).run, whole.run)


def test_a_half_written_checkpoint_is_told_and_the_one_before_it_used(tmp_path, monkeypatch):
    recipe = RECIPES["two views"]
    whole = train_run(recipe, table(), out=tmp_path / "whole")
    for damage in ("state.safetensors", "checkpoint.json"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, 12)
            train_run(recipe, table(), out=tmp_path / damage)
        written = sorted((tmp_path / damage / "checkpoints").iterdir())
        assert [p.name for p in written] == ["0-00000005", "0-00000010"]
        broken = written[1] / damage
        broken.write_bytes(broken.read_bytes()[:-7])
        with pytest.warns(RuntimeWarning, match="the checkpoint before it is used"):
            resumed = train_run(recipe, table(), resume=tmp_path / damage)
        assert_same(resumed.run, whole.run)
    for path in (tmp_path / "whole" / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(b"nothing")
    with pytest.warns(RuntimeWarning, match="damaged"), pytest.raises(DataError, match="damaged"):
        train_run(recipe, table(), resume=tmp_path / "whole")


OWN = """
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit

def recipe():
    streams = (Feed("x", "query"), Feed("y", "document", through="momentum"))
    return Recipe("mine", Use("static", {"dimension": 32}),
        Contrast(both_ways=False, keys=Use("queue", {"size": 100})),
        (Fit(batch_size=40, epochs=EPOCHS, checkpoint_steps=7, checkpoint=1e9, learning_rate=0.01),), streams=streams)
"""


def test_kill_9_of_a_real_process(tmp_path):
    """Through the command line: SIGKILL in the middle, then `nearfar train --resume`."""
    from small_world import world, write_jsonl

    write_jsonl(tmp_path / "my.jsonl", world())
    (tmp_path / "mine.py").write_text(OWN.replace("EPOCHS", "120"))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    base = [sys.executable, "-m", "nearfar", "train", "./mine.py", "--data", "my.jsonl", "--quiet"]

    def finished(*words):
        done = subprocess.run(
            [*base, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr

    finished("--out", "whole")
    process = subprocess.Popen(
        [*base, "--out", "part"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints = tmp_path / "part" / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (checkpoints.is_dir() and len(list(checkpoints.glob("0-*"))) >= 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "part" / "model").exists(), "it was killed too late to show anything"
    finished("--resume", "part")
    whole, part = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "part"))
    assert all(torch.equal(whole[k], part[k]) for k in whole)
    states = [
        load_file(max((tmp_path / run / "checkpoints").iterdir()) / "state.safetensors") for run in ("whole", "part")
    ]
    assert states[0].keys() == states[1].keys()
    assert any("terms" in k and "vectors" in k for k in states[0]), "the queue is part of it"
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
