"""Where there is no terminal a long piece of work says a line a minute, with the time left; a short one its last line alone."""

import pytest

from nearfar.core import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    return made


def said(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_line_a_minute_and_the_time_left(clock, capsys):
    with progress.bar("training") as update:
        for done in range(1, 301):
            clock.now += 1.0
            update(done, 1000, f"loss {done}")
    lines = said(capsys)
    assert lines[:2] == [
        "training: 60 of 1,000, loss 60, 15 min 56 s left",
        "training: 120 of 1,000, loss 120, 14 min 47 s left",
    ]
    assert lines[-1] == "training: 300 of 1,000, loss 300 (300.0 s)"
    assert len(lines) == 6


def test_what_an_earlier_process_did_is_no_pace_of_this_one(clock, capsys):
    with progress.bar("training") as update:
        for done in range(901, 1000):
            clock.now += 1.0
            update(done, 1000)
    assert said(capsys)[0] == "training: 960 of 1,000, 41 s left"  # not 3 s, as 960 steps in a minute would be


def test_short_and_quiet_work(clock, capsys):
    with progress.bar("training") as update:
        update(1, 2)
        update(2, 2)
    assert said(capsys) == ["training: 2 of 2 (0.0 s)"]
    with progress.bar("training", quiet=True) as update:
        clock.now += 1000.0
        update(1, 2)
    assert said(capsys) == []
