"""Records that a view or an encoder cannot use while training: left out, written down once, counted over the run, the same when resumed."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.recipe import Feed
from nearfar.data.bad_records import BadRecords
from nearfar.data.order import Order
from nearfar.data.records import Records
from nearfar.encoders.mlp import Mlp
from nearfar.training import fit
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.train import train_run
from nearfar.training.unusable import Unusable
from small_recipes import FIT, Noise, changed, small, table

MARK = 77.0
N, BAD = 300, (13, 222)  # 2 of 300 are below the share of 1 % that is allowed


def marked(bad=BAD, n=N):
    """A table some rows of which begin with MARK."""
    records = table(n)
    rows = [row.copy() for row in records.fields["row"]]
    for number in bad:
        rows[number][0] = MARK
    return Records({"row": rows}, records.columns)


@dataclass(frozen=True)
class Picky:
    """A view that cannot look at marked rows."""

    on_inputs: ClassVar[bool] = False

    def __call__(self, records, draws):
        for row in records:
            if row[0] == MARK:
                raise ArithmeticError("this row makes no sense")
        return Noise()(records, draws)


@dataclass(frozen=True)
class Cutting(Picky):
    """A view that cuts a feature off marked rows, which the encoder then refuses."""

    def __call__(self, records, draws):
        seen = Noise()(records, draws)
        return [new[:-1] if old[0] == MARK else new for old, new in zip(records, seen, strict=True)]


@dataclass(frozen=True)
class Moody(Picky):
    """A view that refuses marked rows in some looks only, by their own chance."""

    def __call__(self, records, draws):
        for row, u in zip(records, draws.uniform("mood").tolist(), strict=True):
            if row[0] == MARK and u < 0.5:
                raise ArithmeticError("not today")
        return Noise()(records, draws)


def recipe(view=Picky(), name="bad", **changes):
    streams = (Feed("x", "row", views=(view,)), Feed("y", "row", views=(Noise(),)))
    settings = {"epochs": 2, "batch_size": 60, "micro_batch": None} | changes
    return small(name, fit=changed(FIT, **settings), streams=streams, held_out=0.0)


def skipping(spec, records, **places):
    with pytest.warns(RuntimeWarning, match="could not be used and were left out"):
        return train_run(spec, records, on_bad="skip", **places)


def listed(run):
    return [json.loads(line) for line in (run.directory / "bad_records.jsonl").read_text().splitlines()]


def weights(made):
    return made.model.state_dict()


def equal(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def batches(spec, records, **options):
    towers, heads = towers_of(spec, table(len(records)))
    return prepare(spec.fits[0], spec, records, towers, heads, **options).batches


# What is left out, and what is said of it


@pytest.mark.parametrize("view", [Picky(), Cutting()])
def test_a_bad_record_ends_the_run_by_default_and_is_named(view, tmp_path):
    with pytest.raises(DataError) as caught:
        train_run(recipe(view), marked(), out=tmp_path / "run")
    assert caught.value.where in {f"view Picky, record {n}" for n in BAD} | {f"row of record {n}" for n in BAD}
    assert ("this row makes no sense" if type(view) is Picky else "7 features") in caught.value.what


@pytest.mark.parametrize("view", [Picky(), Cutting()])
def test_skipped_it_is_left_out_wherever_it_comes_and_written_once(view, tmp_path):
    made = skipping(recipe(view), marked(), out=tmp_path / "run")
    lines = listed(made.run)
    assert sorted(line["record"] for line in lines) == list(BAD), "two passes, each once"
    assert all(line["reason"] and line["where"] and line["remedy"] and line["part"] == "training" for line in lines)
    assert made.fitted.steps == made.fitted.total == 10
    assert [e["left_out"] for e in made.run.logged() if "left_out" in e][-1] == 2


def test_the_others_are_exactly_the_steps_records_with_their_own_looks():
    clean, spoilt = batches(recipe(), table(N)), batches(recipe(), marked(), bad=BadRecords("skip"))
    left_out = set()
    for step in range(15):
        want, got = clean.streams(step), spoilt.streams(step)
        numbers = want["x"].columns["record"]
        kept = torch.tensor([int(n) not in BAD for n in numbers])
        left_out |= set(numbers[~kept].tolist())
        for name in ("x", "y"):
            assert torch.equal(got[name].columns["record"], numbers[kept])
            assert torch.equal(got[name].inputs.inputs, want[name].inputs.inputs[kept])
    assert left_out == set(BAD)
    assert [e["record"] for e in spoilt.unusable.entries] == sorted(
        BAD, key=lambda n: next(t for t in range(15) if n in clean.order.records(t))
    )


def test_a_record_that_is_bad_in_some_looks_is_left_out_of_those_alone():
    spoilt = batches(recipe(Moody(), epochs=12), marked(), bad=BadRecords("skip"))
    taken = [int(n) for step in range(60) for n in spoilt.streams(step)["x"].columns["record"] if int(n) in BAD]
    assert 0 < len(taken) < 24
    assert sorted(e["record"] for e in spoilt.unusable.entries) == list(BAD)


def test_texts_and_paths_are_quoted_so_that_the_record_is_found(tmp_path):
    words = [f"the word {i}" + " and so on" * (i == 5) * 40 for i in range(120)]

    def picky(records, draws):
        if any("and so on" in record for record in records):
            raise ValueError("too long")
        return list(records)

    spec = small("text", fit=changed(FIT, epochs=3), streams=(Feed("x", "text", views=(picky,)), Feed("y", "text")))
    spec = changed(spec, encoder=changed(spec.encoder, part="static", options={"dimension": 8}), held_out=0.0)
    made = skipping(spec, Records({"text": words}), out=tmp_path / "run")
    (line,) = listed(made.run)
    assert line["content"] == {"text": words[5][:200]}
    assert line["where"] == "view picky, record 5"


# An encoder that cannot prepare a record


@pytest.mark.parametrize("error", [DataError("a spoilt row", where="record 0"), RuntimeError("a spoilt row")])
@pytest.mark.parametrize("prepared_once", [True, False])
def test_a_record_that_the_encoder_cannot_prepare(error, prepared_once, tmp_path, monkeypatch):
    real = Mlp.prepare

    def prepare(self, records):
        for place, row in enumerate(records):
            if row[0] == MARK and isinstance(error, DataError):
                raise DataError(error.what, where=f"record {place}")
            if row[0] == MARK:
                raise error
        return real(self, records)

    monkeypatch.setattr(Mlp, "prepare", prepare)
    views = () if prepared_once else (Noise(0.0),)
    streams = (Feed("x", "row", views=views), Feed("y", "row", views=views))
    spec = changed(recipe(), streams=streams)
    with pytest.raises(DataError, match="a spoilt row") as caught:
        train_run(spec, marked(), out=tmp_path / "stops")
    assert any(str(n) in caught.value.where for n in BAD)
    if not isinstance(error, DataError):
        assert "encoder Mlp" in caught.value.where
    made = skipping(spec, marked(), out=tmp_path / "skips")
    assert sorted(line["record"] for line in listed(made.run)) == list(BAD)


def test_held_out_records_that_cannot_be_used_are_not_measured(tmp_path):
    held_out = marked((3,), 60)
    made = skipping(recipe(measure=1.0), table(N), held_out=held_out, out=tmp_path / "run")
    (line,) = listed(made.run)
    assert (line["part"], line["record"]) == ("held out", 3)
    assert made.figures["queries"] == 59
    with pytest.raises(DataError, match="makes no sense"):
        train_run(recipe(measure=1.0), table(N), held_out=held_out, out=tmp_path / "stops")


@pytest.mark.parametrize("error", [MemoryError(), UsageError("the view is wrong"), KeyboardInterrupt()])
def test_what_is_no_records_fault_is_never_skipped(error):
    def view(records, draws):
        raise error

    with pytest.raises(type(error)):
        batches(recipe(view), table(N), bad=BadRecords("skip")).streams(0)


def test_records_that_are_bad_only_together_end_the_run():
    """Nothing is wrong with any one of them, so none can be blamed and left out."""

    def view(records, draws):
        if len(records) > 1:
            raise ValueError("one at a time, please")
        return list(records)

    with pytest.raises(DataError, match="one at a time"):
        batches(recipe(view), table(N), bad=BadRecords("skip")).streams(0)


# How many are too many


def met(order, bad, count):
    """The step, from 0, in which the `count`-th distinct of some records comes."""
    seen = set()
    for step in range(order.steps_per_epoch):
        seen |= set(order.records(step).tolist()) & set(bad)
        if len(seen) >= count:
            return step
    raise AssertionError("never")


def test_above_the_share_the_run_stops_at_the_step_that_meets_one_too_many(tmp_path, monkeypatch):
    bad = (5, 60, 130, 222)
    at = met(Order(N, 60, 0), bad, 4)
    assert at >= 2, "the test needs steps before it"
    spec = recipe(checkpoint_steps=1)
    with pytest.raises(DataError, match=r"4 of 300 records cannot be used, more than the 1.0% allowed") as caught:
        train_run(spec, marked(bad), on_bad="skip", out=tmp_path / "run")
    assert "bad_records.jsonl" in caught.value.what
    assert caught.value.exit_code == 3
    checkpoint = max((tmp_path / "run" / "checkpoints").iterdir())
    assert json.loads((checkpoint / "checkpoint.json").read_text())["step"] == at
    written = (tmp_path / "run" / "bad_records.jsonl").read_text()
    with pytest.raises(DataError, match="4 of 300"):
        train_run(spec, marked(bad), on_bad="skip", resume=tmp_path / "run")
    assert (tmp_path / "run" / "bad_records.jsonl").read_text() == written
    # Counted anew in every pass, three bad records would be too many in the second one.
    made = skipping(spec, marked(bad[:3]), out=tmp_path / "fine")
    assert made.fitted.steps == made.fitted.total
    with monkeypatch.context() as patch:
        patch.setattr(
            Unusable, "_know", lambda self, entries: vars(self).update(entries=[*entries], known=np.array([]))
        )
        patch.setattr(Unusable, "tell", counted_again)
        with pytest.raises(DataError, match="too many"):
            train_run(spec, marked(bad[:3]), on_bad="skip", out=tmp_path / "wrong")


def counted_again(self, found, part="training"):
    """The mistake: a record is counted each time it comes."""
    self.entries += [{"part": part, "record": n, "reason": "", "where": ""} for n in found]
    if len(self.entries) > self.bad.share * self.total:
        raise DataError("too many")


def test_a_step_with_hardly_a_record_left_stops_at_once():
    spoilt = batches(recipe(batch_size=60), marked(range(N)), bad=BadRecords("skip", share=1.0))
    with pytest.raises(DataError, match="hardly a record of this step") as caught:
        spoilt.streams(0)
    assert caught.value.where.startswith("view Picky, record")


# Resumed


class Killed(BaseException):
    """As if the process were gone."""


def killed_at(monkeypatch, step):
    seen, real = [0], fit.backward

    def backward(*arguments, **options):
        seen[0] += 1
        if seen[0] == step:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(fit, "backward", backward)


@pytest.mark.parametrize("step", [2, 9])
def test_killed_and_resumed_the_same_records_are_left_out_and_each_is_listed_once(step, tmp_path, monkeypatch):
    spec = recipe(checkpoint_steps=4)
    whole = skipping(spec, marked(), out=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, step)
        train_run(spec, marked(), on_bad="skip", out=tmp_path / "part")
    with (tmp_path / "part" / "bad_records.jsonl").open("a") as file:
        file.write('{"part": "tra')  # half a line, as a killed process leaves
    resumed = skipping(spec, marked(), resume=tmp_path / "part")
    assert equal(weights(resumed), weights(whole))
    assert listed(resumed.run) == listed(whole.run)
    assert [e.get("left_out") for e in resumed.run.logged()] == [e.get("left_out") for e in whole.run.logged()]


def test_the_comparison_tells_a_run_that_forgot(tmp_path, monkeypatch):
    """Without cutting the file back to the checkpoint, and without knowing what it holds, records are listed again."""
    spec = recipe(checkpoint_steps=4)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 10)
        train_run(spec, marked(), on_bad="skip", out=tmp_path / "part")
    with monkeypatch.context() as patch:
        patch.setattr(Unusable, "rewind", lambda self, entries: self._know([]))
        resumed = skipping(spec, marked(), resume=tmp_path / "part")
    assert len(listed(resumed.run)) > len(BAD)


def test_what_was_bad_when_the_data_were_read_stays_in_the_file(tmp_path, monkeypatch):
    lines = [json.dumps({"text": f"the word {i}"}) for i in range(250)]
    lines[7] = "{broken"
    (tmp_path / "my.jsonl").write_text("\n".join(lines) + "\n")

    def picky(records, draws):
        if "the word 100" in records:
            raise ValueError("not this one")
        return list(records)

    spec = small("text", fit=changed(FIT, epochs=2), streams=(Feed("x", "text", views=(picky,)), Feed("y", "text")))
    spec = changed(spec, encoder=changed(spec.encoder, part="static", options={"dimension": 8}), data="texts")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 12)
        train_run(spec, tmp_path / "my.jsonl", on_bad="skip", out=tmp_path / "run")
    made = skipping(spec, tmp_path / "my.jsonl", resume=tmp_path / "run")
    reading, training = listed(made.run)
    assert reading["where"].endswith("line 8")
    assert "record" not in reading
    assert training["content"] == {"text": "the word 100"}


def test_a_second_stage_knows_what_the_first_found(tmp_path):
    one = recipe(checkpoint_steps=4)
    stages = (changed(one.fits[0], name="first", epochs=1), changed(one.fits[0], name="second", epochs=1))
    made = skipping(changed(one, stages=stages), marked(), out=tmp_path / "run")
    assert sorted(line["record"] for line in listed(made.run)) == list(BAD)
    assert {e["left_out"] for e in made.run.logged() if e["stage"] == "second"} == {2}


# Ranks


def on_each_rank(out):
    made = train_run(recipe(), marked(), on_bad="skip", out=out, settings=["fit.workers=2"])
    return {k: v.numpy() for k, v in weights(made).items()}


@pytest.mark.filterwarnings("ignore:.*left out")
def test_two_ranks_leave_out_and_list_what_one_process_does(tmp_path, rank_groups):
    one = on_each_rank(tmp_path / "one")
    two = rank_groups[2].run(on_each_rank, tmp_path / "two")
    files = [(tmp_path / name / "bad_records.jsonl").read_text() for name in ("one", "two")]
    assert files[0] == files[1]
    assert len(files[0].splitlines()) == 2
    assert all(np.allclose(one[k], rank[k], atol=1e-4) for rank in two for k in one)
    counts = [
        [json.loads(line).get("left_out") for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert counts[0] == counts[1]


# Cost


def test_as_long_as_all_is_well_every_record_is_looked_at_once(monkeypatch):
    calls = []

    def counting(records, draws):
        calls.append(len(records))
        return Picky()(records, draws)

    spec = recipe(counting, epochs=2)
    good = batches(spec, table(N), bad=BadRecords("skip"))
    for step in range(10):
        good.streams(step)
    assert calls == [60] * 10
    calls.clear()
    spoilt = batches(spec, marked((13,)), bad=BadRecords("skip"))
    for step in range(5):
        spoilt.streams(step)
    assert calls.count(1) > 60, "the first time, it is looked for among all of the step"
    calls.clear()
    for step in range(5, 10):
        spoilt.streams(step)
    # In the next pass it is looked at alone, and its batch mates go in one piece.
    assert sorted(calls) in ([1, 59, 60, 60, 60, 60], [1, 1, 59, 60, 60, 60, 60])
