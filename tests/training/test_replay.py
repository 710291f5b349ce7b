"""The Replay stage: one pass, a fair reservoir, teachers that were stored in time, the same result after a kill; bad settings."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.tree import override
from nearfar.data.records import Records
from nearfar.recipes.shift.proxy_replay import recipe
from nearfar.testing.small_data import small_data
from nearfar.training.prepare import model_of, towers_of
from nearfar.training.replay import Replay, Replaying, Reservoir
from nearfar.training.state import State
from nearfar.training.train import train_run

SMALL = ("encoder.size=8", "encoder.channels=1", "encoder.width=8", "encoder.stages=1", "replay.memory=12")


def small(*settings):
    made = recipe()
    for setting in (*SMALL, *settings):
        made = override(made, setting)
    return made


def replaying(chosen, records):
    towers, heads = towers_of(chosen, records)
    state = State(chosen, records, None, towers, heads, model_of(chosen, towers), None, {})
    return Replaying(chosen.stages[0], state)


def test_every_record_comes_once_and_classes_come_in_turn():
    records = small_data("images", 50)
    tasks = replaying(small("replay.batch_size=7"), records).batches_of
    seen = [np.concatenate(task) for task in tasks]
    assert sorted(np.concatenate(seen).tolist()) == list(range(50))
    assert [set(records.columns["label"][task].tolist()) for task in seen] == [{0, 1}, {2, 3}]
    assert all(len(batch) == 7 for task in tasks for batch in task[:-1])
    other = replaying(replace(small("replay.batch_size=7"), seed=1), records).batches_of
    assert not np.array_equal(np.concatenate(other[0]), seen[0])


def test_the_reservoir_keeps_every_record_alike():
    kept = torch.zeros(40)
    for seed in range(400):
        memory = Reservoir(10, 1, 1, seed)
        for first in range(0, 40, 8):
            number = torch.arange(first, first + 8)
            memory.update(number, number[:, None].float(), number[:, None].float())
        assert torch.equal(memory.vectors[:, 0].long(), memory.record)
        assert len(memory.record.unique()) == len(memory) == 10
        kept[memory.record] += 1
    # 400 draws of probability 1 / 4: a deviation of 0.022; the first and the last ten are where a biased one differs
    assert abs(kept[:10].mean() / 400 - 0.25) < 0.03
    assert abs(kept[-10:].mean() / 400 - 0.25) < 0.03
    assert (kept / 400 - 0.25).abs().max() < 0.09
    places = memory.drawn(6, 3)
    assert len(places.unique()) == 6
    assert not torch.equal(places, memory.drawn(6, 4))
    assert len(memory.drawn(30, 3)) == 10


def test_what_is_stored_is_what_was_thought_before_the_step():
    records = small_data("images", 48)
    at = replaying(small("replay.memory=100"), records)
    at.learner.eval()
    for task in range(2):
        for number in range(len(at.batches_of[task])):
            fresh = at.batches_of[task][number]
            pictures = records.many("image", fresh)
            with torch.no_grad():
                tower = at.state.towers["encoder"]
                vectors = tower(tower.prepare(pictures)).vectors
                weights = at.proxies.proxies.vectors.clone()
            at.take(task, number)
            places = [at.memory.record.tolist().index(i) for i in fresh]
            assert torch.allclose(at.memory.vectors[places], vectors, atol=1e-5)
            cosines = torch.nn.functional.normalize(vectors, dim=1) @ torch.nn.functional.normalize(weights, dim=1).T
            assert torch.allclose(at.memory.scores[places], cosines / 0.09, atol=1e-4)
            with torch.no_grad():
                later = tower(tower.prepare(pictures)).vectors
            assert torch.equal(later, vectors) == (at.step == 1), "but for the first step, the weights move"
    rows = at.stream(1, 0)
    assert torch.equal(rows.columns["taught"], rows.columns["replayed"])
    assert not at.stream(0, 0).columns["taught"].any()
    assert at.proxies.seen.all()


def test_only_classes_seen_are_predicted():
    records = small_data("images", 48)
    at = replaying(small(), records)
    for number in range(len(at.batches_of[0])):
        at.take(0, number)
    assert set(at.predicted(records).tolist()) <= {0, 1}
    at.proxies.seen[:] = True
    at.proxies.proxies.vectors.data[:2] *= -1
    assert not set(at.predicted(records).tolist()) <= {0, 1}


def test_it_learns_and_measures_and_goes_on_after_a_kill(tmp_path):
    records, held_out = small_data("images", 160), small_data("images", 80, seed=1)
    chosen = small("replay.memory=40")
    whole = train_run(chosen, records, out=tmp_path / "a", held_out=held_out)
    figures = whole.model.about["measured"]["replay"]
    assert figures["accuracy"] > 0.45, "four classes"
    assert {"accuracy", "forgetting"} == set(figures)

    class Killed(Exception):
        pass

    def kill(entry, learner):
        if entry["task"] == 1 and entry["step"] == 12:
            raise Killed

    with pytest.raises(Killed):
        train_run(chosen, records, out=tmp_path / "b", held_out=held_out, callbacks=[kill])
    again = train_run(chosen, records, resume=tmp_path / "b", held_out=held_out)
    assert again.model.fingerprint == whole.model.fingerprint
    assert again.model.about["measured"] == whole.model.about["measured"]
    assert again.fitted.losses == whole.fitted.losses
    assert [e["step"] for e in again.run.logged() if "loss" in e] == list(range(1, 17))
    other = train_run(chosen, records, out=tmp_path / "c", held_out=held_out, seed=5)
    assert other.model.fingerprint != whole.model.fingerprint


def test_a_run_is_resumed_by_its_directory_though_its_stage_is_no_library_stage(tmp_path):
    records = small_data("images", 40)
    for number, (picture, label) in enumerate(
        zip(records.many("image", range(40)), records.columns["label"], strict=True)
    ):
        path = tmp_path / "photos" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    settings = [*SMALL, "replay.batch_size=8", "held_out=0"]
    made = train_run("proxy_replay", tmp_path / "photos", out=tmp_path / "run", settings=settings)
    assert made.fitted.steps == 6
    again = train_run(resume=tmp_path / "run")
    assert again.model.fingerprint == made.model.fingerprint
    stored = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert stored["recipe"]["stages"][0]["batch_size"] == 8
    stored["recipe"]["stages"][0]["batchsize"] = stored["recipe"]["stages"][0].pop("batch_size")
    (tmp_path / "run" / "config.json").write_text(json.dumps(stored), "utf-8")
    with pytest.raises(DataError, match="unknown setting 'batchsize'"):
        train_run(resume=tmp_path / "run")


def test_what_makes_no_tasks_is_refused():
    records = small_data("images", 24)
    label = records.columns["label"]
    for bad in ({}, {"label": label * 0}, {"label": label - 1}, {"label": label + 0.5}):
        with pytest.raises(DataError, match="label"):
            replaying(small(), Records(records.fields, bad))
    for setting in ("task=0", "batch_size=0", "replayed=0", "memory=0"):
        with pytest.raises(UsageError, match="makes no sense"):
            replaying(small(f"replay.{setting}"), records)
    with pytest.raises(UsageError, match="without keys"):
        replaying(replace(small(), objective=replace(recipe().objective, keys="queue")), records)
    with pytest.raises(UsageError, match="without keys"):
        replaying(replace(small(), objective=nf.vicreg), records)
    with pytest.raises(UsageError, match="each record by itself"):
        replaying(replace(small(), streams=tuple(replace(feed, mix=1.0) for feed in small().streams)), records)
    assert Replay().gain(17) == 1
