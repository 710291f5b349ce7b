"""Schedules at their corners and against their formulas; warm-up by share and by steps; ramps; what is refused."""

import math
from dataclasses import dataclass

import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ramp import Ramp, at
from nearfar.core.stage import Fit
from nearfar.core.tree import from_json, read_value, to_json
from nearfar.training.schedule import FLOOR, SCHEDULES, factor, warmup_steps


@dataclass(frozen=True)
class Stage:
    schedule: str
    warmup: int | float = 0.0


def curve(schedule, total, warmup=0.0):
    return [factor(Stage(schedule, warmup), step, total) for step in range(total)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.2, 20])
def test_the_rate_rises_in_a_line_and_is_full_once(schedule, warmup):
    made = curve(schedule, 100, warmup)
    rising = 20 if warmup else 0
    assert made[:rising] == pytest.approx([(k + 1) / 20 for k in range(rising)])
    assert max(made) == pytest.approx(1.0, abs=0.02)
    assert all(0 < f <= 1 for f in made)
    assert all(a >= b for a, b in zip(made[rising:], made[rising + 1 :], strict=False)), "it never rises again"


def test_formulas():
    assert curve("constant", 10) == [1.0] * 10
    assert curve("linear", 4) == [1.0, 0.75, 0.5, 0.25]
    assert curve("linear", 200)[-1] == FLOOR
    assert curve("cosine", 4)[2] == pytest.approx(0.5)
    assert curve("cosine", 1000)[-1] == FLOOR
    assert curve("step", 10) == pytest.approx([1.0] * 6 + [0.1] * 2 + [0.01] * 2)
    assert curve("inverse_sqrt", 4) == pytest.approx([1, 2**-0.5, 3**-0.5, 0.5])
    assert curve("inverse_sqrt", 40, 10)[39] == pytest.approx(0.5), "sqrt(10 / 40)"
    assert len({tuple(round(f, 6) for f in curve(s, 50)) for s in SCHEDULES}) == len(SCHEDULES)


def test_the_schedule_is_a_function_of_the_step_alone():
    forwards = curve("cosine", 37, 5)
    backwards = [factor(Stage("cosine", 5), step, 37) for step in reversed(range(37))]
    assert forwards == backwards[::-1]


def test_a_whole_number_is_steps_and_a_share_is_a_share():
    assert warmup_steps(1, 100) == 1
    assert warmup_steps(1.0, 100) == 100
    assert warmup_steps(0, 100) == warmup_steps(0.0, 100) == 0
    assert warmup_steps(0.001, 100) == 1, "a share is rounded up"
    assert read_value(int | float, 1, "warmup") == 1
    assert isinstance(read_value(int | float, 1, "warmup"), int), "a recipe that is read again means the same"
    assert isinstance(read_value(int | float, 1.0, "warmup"), float)


@pytest.mark.parametrize("warmup", [-0.1, 1.1, -1, 101, math.nan])
def test_wrong_warmups(warmup):
    with pytest.raises(UsageError, match="warm-up of"):
        warmup_steps(warmup, 100)


def test_unknown_schedule_and_a_training_of_one_step():
    with pytest.raises(UsageError, match="there are cosine, linear, step"):
        factor(Stage("exponential"), 0, 10)
    assert [curve(s, 1) for s in SCHEDULES] == [[1.0]] * len(SCHEDULES)
    assert factor(Fit(), 0, 10) == 1.0


# Ramps


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_a_ramp_between_its_shares(shape):
    ramp = Ramp(0.2, 1.0, 0.25, 0.75, shape)
    assert [ramp(p) for p in (0.0, 0.1, 0.25)] == [0.2] * 3
    assert [ramp(p) for p in (0.75, 0.9, 1.0)] == [1.0] * 3
    assert ramp(0.5) == pytest.approx(0.6)
    quarter = {"linear": 0.25, "cosine": (1 - math.cos(math.pi / 4)) / 2}[shape]
    assert ramp(0.375) == pytest.approx(0.2 + 0.8 * quarter)
    other = {"linear": 0.25, "cosine": (1 - math.cos(math.pi / 4)) / 2}[{"linear": "cosine", "cosine": "linear"}[shape]]
    assert ramp(0.375) != pytest.approx(0.2 + 0.8 * other)


def test_the_momentum_of_byols_teacher():
    """1 - (1 - start) (cos(pi k / K) + 1) / 2, arXiv 2006.07733."""
    ramp = Ramp(0.996, 1.0, shape="cosine")
    for k in range(11):
        assert ramp(k / 10) == pytest.approx(1 - (1 - 0.996) * (math.cos(math.pi * k / 10) + 1) / 2)


def test_ramps_fall_jump_and_stand_still():
    assert Ramp(1.0, 0.0)(0.75) == 0.25
    jump = Ramp(0.0, 1.0, 0.3, 0.3)
    assert (jump(0.299), jump(0.3), jump(1.0)) == (0.0, 1.0, 1.0)
    assert (at(0.5, 0.9), at(Ramp(0.0, 1.0), 0.9)) == (0.5, 0.9)
    assert Ramp(0.0, 1.0, 1.0, 1.0)(1.0) == 1.0


def test_a_ramp_is_data():
    ramp = Ramp(0.0, 1.0, 0.1, 0.5, "cosine")
    assert from_json(Ramp, to_json(ramp)) == ramp
    assert read_value(float | Ramp, to_json(ramp), "weight") == ramp
    assert read_value(float | Ramp, 2, "weight") == 2.0
    with pytest.raises(DataError, match="none of"):
        from_json(Ramp, {**to_json(ramp), "shape": "square"})


@pytest.mark.parametrize(
    "given", [(math.nan, 1.0), (0.0, math.inf), (0.0, 1.0, 0.5, 0.4), (0.0, 1.0, -0.1), (0, 1.0, 0.0, 1.1)]
)
def test_wrong_ramps(given):
    with pytest.raises(UsageError, match="a ramp"):
        Ramp(*map(float, given))


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_wrong_progress(progress):
    with pytest.raises(UsageError, match="no share"):
        Ramp(0.0, 1.0)(progress)
