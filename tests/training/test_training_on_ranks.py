"""Two processes train what one trains: weights, momentum, queue and running averages after 20 steps; and a lost one ends the other."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from small_recipes import final_state
from small_world import world, write_jsonl

ROOT = Path(__file__).parents[2]
STEPS = ["held_out=0.0", "fit.epochs=10", "fit.batch_size=45", "fit.checkpoint_steps=1000"]
RECIPES = (
    "two views",
    "copies in one stream",
    "queue and momentum teacher",
    "support set, cross-batch memory and prototypes",
    "noise keys",
    "predictor and teacher",
    "whole objective by name",
    "batch norm head",
    "further terms on a ramp",
    "clusters that are refreshed",
    "mined negatives",
    "averaged and clipped",
)


def gap(one, several):
    """The largest difference of anything that was learned, relative to its own size."""
    assert all(one.keys() == other.keys() for other in several)
    return max(
        float(np.abs(one[k].astype(float) - other[k].astype(float)).max() / max(1e-3, np.abs(one[k]).max()))
        for k in one
        for other in several
        if one[k].size
    )


@pytest.mark.parametrize("name", RECIPES)
def test_two_ranks_train_what_one_process_trains(name, tmp_path, rank_groups):
    one = final_state(name, tmp_path / "one", *STEPS)
    two = rank_groups[2].run(final_state, name, tmp_path / "two", *STEPS)
    assert one["steps"] == 20
    assert gap(one, two) < 2e-3
    assert all(np.array_equal(two[0][k], two[1][k]) for k in two[0]), "the ranks drift apart"
    other = final_state(name, tmp_path / "other", *STEPS, "seed=1")
    assert gap(one, [other]) > 0.05, "any run would pass"


def test_sharded_weights_train_the_same(tmp_path, rank_groups):
    one = final_state("two views", tmp_path / "one", *STEPS)
    two = rank_groups[2].run(final_state, "two views", tmp_path / "two", *STEPS, "fit.shard=true")
    assert gap(one, two) < 2e-3


OWN = """
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit

def recipe():
    streams = (Feed("x", "query"), Feed("y", "document", through="momentum"))
    return Recipe("mine", Use("static", {"dimension": 32}),
        Contrast(both_ways=False, keys=Use("queue", {"size": 100})),
        (Fit(batch_size=40, epochs=EPOCHS, checkpoint_steps=7, checkpoint=1e9, learning_rate=0.01),), streams=streams)
"""


def started(folder, *words):
    """Two processes as torchrun starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NEARFAR_RANK_TIMEOUT": "20",
    }
    command = [sys.executable, "-m", "nearfar", "train", *words, "--quiet"]
    return [
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def test_a_rank_that_is_killed_ends_the_other_and_the_run_goes_on(tmp_path):
    write_jsonl(tmp_path / "my.jsonl", world())
    (tmp_path / "mine.py").write_text(OWN.replace("EPOCHS", "400"))
    ranks = started(tmp_path, "./mine.py", "--data", "my.jsonl", "--out", "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (checkpoints.is_dir() and len(list(checkpoints.glob("0-*"))) >= 2):
        time.sleep(0.01)
    ranks[1].send_signal(signal.SIGKILL)
    _, said = ranks[0].communicate(timeout=60)
    ranks[1].communicate(timeout=60)
    assert ranks[0].returncode == 4, said
    assert "another rank was lost" in said
    assert "--resume" in said
    assert not (tmp_path / "run" / "model").exists()
    steps = max(int(p.name[2:]) for p in checkpoints.glob("0-*"))
    for rank in started(tmp_path, "--resume", "run", "./mine.py", "--data", "my.jsonl"):
        _, said = rank.communicate(timeout=200)
        assert rank.returncode == 0, said
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    assert max(int(p.name[2:]) for p in checkpoints.glob("0-*")) > steps
