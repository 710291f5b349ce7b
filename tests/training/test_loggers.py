"""Loggers: tables whose columns grow and that resume, TensorBoard's files read back, and failures that must not end a run."""

import csv
import struct
import sys
import warnings

import pytest

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.training.loggers import PATIENCE, CsvLogger, Loggers, TensorBoardLogger, flat


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def entry(step, stage="fit", **more):
    return {"stage": stage, "step": step, "loss": 1.0 / step, **more}


# CSV


def test_new_columns_appear_at_the_right_and_nothing_is_lost(tmp_path):
    path = tmp_path / "deep" / "metrics.csv"
    logger = CsvLogger(path)
    logger.log(entry(1))
    logger.log(entry(2, **{"held_out/mrr": 0.5, "note": 'a "b", c\nand "more"'}))
    logger.log({"stage": "fit", "step": 3, "plan": None})
    rows = table(path)
    assert list(rows[0]) == ["stage", "step", "loss", "held_out/mrr", "note", "plan"]
    assert [r["step"] for r in rows] == ["1", "2", "3"]
    assert rows[0]["held_out/mrr"] == ""
    assert rows[1]["note"] == 'a "b", c\nand "more"'
    assert rows[2]["loss"] == rows[2]["plan"] == ""
    assert float(rows[1]["loss"]) == 0.5


def test_numbers_come_back_as_they_were(tmp_path):
    values = [0.1 + 0.2, 1e-300, 123456789.123456789, 2**53 + 1]
    logger = CsvLogger(tmp_path / "m.csv")
    for step, value in enumerate(values):
        logger.log({"step": step, "value": value})
    assert [float(r["value"]) for r in table(tmp_path / "m.csv")] == [float(v) for v in values]


def test_resumed_it_is_what_an_unbroken_run_writes(tmp_path):
    whole, cut = CsvLogger(tmp_path / "whole.csv"), CsvLogger(tmp_path / "cut.csv")
    for step in range(1, 11):
        whole.log(entry(step, stage="first"))
    for step in range(1, 11):
        whole.log(entry(step))
    for step in range(1, 11):
        cut.log(entry(step, stage="first"))
    for step in range(1, 8):
        cut.log(entry(step))
    with (tmp_path / "cut.csv").open("a") as file:
        file.write("fit,8,0.1")  # killed within a line
    again = CsvLogger(tmp_path / "cut.csv")
    again.rewind("fit", 5)
    for step in range(6, 11):
        again.log(entry(step))
    right = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "cut.csv").read_bytes() == right
    # The known-bad variants: not rewound; rewound without regard to the stage.
    cut = CsvLogger(tmp_path / "other.csv")
    (tmp_path / "other.csv").write_bytes(right)
    cut.log(entry(6))
    assert (tmp_path / "other.csv").read_bytes() != right
    assert len([r for r in table(tmp_path / "cut.csv") if r["stage"] == "first"]) == 10


def test_half_a_line_is_dropped_and_a_foreign_file_refused(tmp_path):
    path = tmp_path / "m.csv"
    CsvLogger(path).log(entry(1))
    path.write_text(path.read_text() + 'fit,2,"half')
    CsvLogger(path).log(entry(3))
    assert [r["step"] for r in table(path)] == ["1", "3"]
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(DataError, match="no table of metrics"):
        CsvLogger(path)
    assert path.read_text() == "a,b\n1,2,3\n"
    for empty in ("", "half a head"):
        path.write_text(empty)
        CsvLogger(path).log(entry(1))
        assert [r["step"] for r in table(path)] == ["1"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        CsvLogger(tmp_path / "file" / "m.csv").log(entry(1))


# TensorBoard


def events(folder):
    """Points (tag, step, value) and purges of every event file, in the order of the files: parsed by hand, records are framed."""
    from tensorboardX.proto.event_pb2 import Event

    points, purges = [], []
    for path in sorted(folder.glob("events*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (size,) = struct.unpack("<Q", data[place : place + 8])
            event = Event.FromString(data[place + 12 : place + 12 + size])
            place += 12 + size + 4
            if event.HasField("session_log"):
                purges.append(event.step)
            points += [(v.tag, event.step, pytest.approx(v.simple_value)) for v in event.summary.value]
    return points, purges


def test_curves_and_their_steps(tmp_path):
    logger = TensorBoardLogger(tmp_path / "board")
    logger.log(entry(1, note="text", **{"held_out/mrr": 0.25, "none": None}))
    logger.log(entry(2, nan=float("nan")))
    logger.log({"step": 7, "alone": 3})
    logger.log(entry(1, stage="../second stage"))
    logger.close()
    assert events(tmp_path / "board" / "fit") == ([("loss", 1, 1.0), ("held_out/mrr", 1, 0.25), ("loss", 2, 0.5)], [])
    assert events(tmp_path / "board") == ([("alone", 7, 3.0)], [])
    assert events(tmp_path / "board" / "___second stage")[0] == [("loss", 1, 1.0)]
    assert {p.name for p in tmp_path.iterdir()} == {"board"}, "a stage's name leads nowhere else"


def test_after_a_rewind_later_steps_are_hidden_of_that_stage_alone(tmp_path):
    first = TensorBoardLogger(tmp_path)
    for step in (1, 2, 3):
        first.log(entry(step))
        first.log(entry(step, stage="other"))
    first.close()
    second = TensorBoardLogger(tmp_path)
    second.rewind("fit", 2)
    second.log(entry(3))
    second.log(entry(4, stage="other"))
    second.rewind("fit", 3)  # also within one process
    second.log(entry(4))
    second.close()
    assert events(tmp_path / "fit")[1] == [3, 4]
    assert events(tmp_path / "other")[1] == []


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ResourceError, match="pip install tensorboardX"):
        TensorBoardLogger(tmp_path)


# Many, and failures


class Keeps:
    def __init__(self):
        self.seen, self.rewound, self.closed = [], [], False

    def log(self, entry):
        self.seen.append(entry)

    def rewind(self, stage, step):
        self.rewound.append((stage, step))

    def close(self):
        self.closed = True


class Fails:
    def __init__(self, on=lambda step: True):
        self.on, self.calls = on, 0

    def log(self, entry):
        self.calls += 1
        if self.on(entry["step"]):
            raise OSError("no space left")


def log_hundred(loggers):
    for step in range(1, 101):
        loggers.log(entry(step))


def test_objects_and_functions_are_loggers():
    kept, seen = Keeps(), []
    loggers = Loggers([kept, seen.append])
    nested = {"stage": "fit", "step": 1, "held_out": {"mrr": 0.5, "by": {"k": 3}}, "list": [1, 2], "fits": True}
    loggers.log(nested)
    loggers.rewind("fit", 1)
    loggers.close()
    assert seen == kept.seen == [flat(nested)]
    assert seen[0] == {
        "stage": "fit",
        "step": 1,
        "held_out/mrr": 0.5,
        "held_out/by/k": 3,
        "list": "[1, 2]",
        "fits": True,
    }
    assert seen[0] is not kept.seen[0], "none can change what another sees"
    assert (kept.rewound, kept.closed) == ([("fit", 1)], True)
    with pytest.raises(UsageError, match="a str is no logger"):
        Loggers(["metrics.csv"])


def test_a_failing_logger_is_reported_once_then_dropped_and_others_see_everything():
    kept, broken = Keeps(), Fails()
    loggers = Loggers([broken, kept])
    with pytest.warns(RuntimeWarning) as said:
        log_hundred(loggers)
    assert len(kept.seen) == 100
    assert broken.calls == PATIENCE
    assert [str(w.message).split(";")[0] for w in said] == [
        "the logger Fails failed: OSError: no space left",
        f"the logger Fails failed {PATIENCE} times in a row and is dropped",
    ]
    assert "metrics.jsonl" in str(said[-1].message)


def test_a_passing_failure_costs_only_its_entries():
    seen = []
    flaky = Fails(on=lambda step: step % 4 == 0)
    loggers = Loggers([flaky, seen.append])
    with pytest.warns(RuntimeWarning, match="Fails failed"):
        log_hundred(loggers)
    assert flaky.calls == 100
    assert len(seen) == 100


def test_failures_of_rewinding_and_closing_and_a_function():
    class Closes(Keeps):
        def close(self):
            raise ValueError("closed already")

        rewind = close

    def broken(entry):
        raise KeyError("no such run")

    loggers = Loggers([Closes(), broken])
    with pytest.warns(RuntimeWarning, match="closed already"):
        loggers.close()
    with pytest.warns(RuntimeWarning, match="broken failed: KeyError"):
        loggers.log(entry(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Loggers([]).log(entry(1))


def test_an_interrupt_is_no_failure():
    def interrupted(entry):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Loggers([interrupted]).log(entry(1))
