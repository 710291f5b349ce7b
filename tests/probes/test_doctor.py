"""The doctor: silent on healthy trainings of every kind, and right about those that were made sick on purpose."""

import json
import math
import os
import random

import pytest

import nearfar as nf
from nearfar.probes.doctor import Doctor, Finding, diagnose
from nearfar.probes.doctor_checks import CHECKS, EXPLAINS
from nearfar.probes.doctor_history import BLOCKS, SIGNS
from small_runs import HEALTHY, SICK, run

# What else is true of a run beside what it was made for.
BESIDE = {"stale_queue_repeats": {"rate_high"}, "rate_high_descent": {"collapse"}}
# `make test-all` trains every one; otherwise ten healthy runs of every kind, and for each finding the first of its sick runs.
ALL = bool(os.environ.get("NEARFAR_TEST_ALL"))
FURTHER = {"queue_repeats", "decoupled", "margin", "held_out", "hot_softmax"}
HEALTHY_NOW = [name for name in HEALTHY if ALL or name not in FURTHER]
FIRST = [next(sick for sick in SICK if sick.startswith(check.name)) for check in CHECKS]
SICK_NOW = list(SICK) if ALL else FIRST
# A healthy run stays this far below every limit, so that another seed or another machine does not trip it.
SAFETY = 0.7


def examined(setup):
    """Findings at the end, those told on the way, how far each check was from its limit, and the number of steps."""
    entries, config = run(setup)
    doctor, told = Doctor(config), []
    for entry in entries:
        told += doctor(json.loads(json.dumps(entry)))
    return doctor.findings(ended=True), told, doctor.readings(), entries[-1]["step"]


@pytest.mark.parametrize("name", HEALTHY_NOW)
def test_silent_on_a_healthy_run(name):
    findings, told, readings, _ = examined(HEALTHY[name]())
    assert [str(f) for f in [*findings, *told]] == []
    assert max(readings.values()) < SAFETY, readings
    assert len(readings) >= 5, "most checks had something to look at"


@pytest.mark.parametrize("name", SICK_NOW)
def test_a_sick_run_is_recognised(name):
    findings, told, _, last = examined(SICK[name]())
    (wanted,) = [c.name for c in CHECKS if name.startswith(c.name)]
    names = [f.name for f in findings]
    assert wanted in names
    assert set(names) <= {wanted} | BESIDE.get(name, set())
    assert {f.name for f in told} <= set(names), "what is told on the way holds at the end"
    for finding in findings:
        assert all((finding.what, finding.cause, finding.remedy))
        assert finding.stage == "fit"
        assert 1 <= finding.where[0] <= finding.where[1] == last
        assert json.loads(json.dumps(finding.as_json(), allow_nan=False))["name"] == finding.name
        assert "nan" not in finding.what or wanted == "not_a_number"


def test_every_check_has_a_sick_run_and_what_explains_another_exists():
    names = {c.name for c in CHECKS}
    assert {n for n in names for sick in SICK if sick.startswith(n)} == names
    assert set(EXPLAINS) | {n for hidden in EXPLAINS.values() for n in hidden} <= names


def entries(losses, stage="fit", every=20, **signs):
    """A run of these losses, with the same figures measured every so often."""
    made = []
    for step, loss in enumerate(losses, 1):
        measured = signs if step == 1 or step % every == 0 else {}
        made.append({"stage": stage, "step": step, "loss": loss, "keys": 64, **measured})
    return made


def config(rule="info_nce", **objective):
    fit = {"name": "fit", "learning_rate": 0.02, "epochs": 4.0, "batch_size": 64}
    return {"recipe": {"objective": {"rule": rule, "temperature": 0.1, **objective}, "stages": [fit]}}


def names(*arguments):
    return [f.name for f in diagnose(*arguments)]


@pytest.mark.parametrize(
    ("rule", "chance"),
    [
        ("info_nce", math.log(64)),
        ("decoupled", math.log(63)),
        ("triplet", 0.2),
        ({"part": "triplet", "options": {"margin": 0.7}}, 0.7),
        ("sigmoid", math.log(64) + 63 * math.log(64 / 63)),
    ],
)
def test_chance_level_by_the_rule_alone_where_nothing_was_measured(rule, chance):
    settings = config(rule, learn_bias=True)
    assert names(entries([chance * 1.001] * 50), settings) == ["chance_level"]
    assert names(entries([chance * 0.7] * 50), settings) == []
    # With the level of another rule the same loss means something else.
    other = config("triplet" if chance > 1 else "info_nce")
    assert names(entries([chance * 1.001] * 50), other) != ["chance_level"] or chance > 1


@pytest.mark.parametrize("rule", ["vicreg", None, 3, "a_rule_of_mine", {"part": None}, "relation_distillation"])
def test_without_a_rule_chance_is_not_judged(rule):
    assert names(entries([4.16] * 50), config(rule)) == []
    assert names(entries([4.16] * 50)) == []


def test_a_loss_near_chance_whose_positives_are_found_is_none_at_chance():
    signs = {"scored_chance": 4.159, "candidates": 64.0, "positives": 1.0}
    assert names(entries([4.15] * 100, **signs, found_first=0.02)) == ["chance_level"]
    assert names(entries([4.15] * 100, **signs, found_first=0.6)) == []


def test_remedies_can_be_typed_and_start_from_the_present_value():
    low = entries([4.0] * 100, **{"update_ratio/a": 1e-5, "parameter_norm/a": 3.0, "scored_chance": 4.159})
    slow = config()
    slow["recipe"]["stages"][0]["learning_rate"] = 2e-5
    (finding,) = diagnose(low, slow)
    assert finding.name == "rate_low"
    assert finding.remedy == "--set fit.learning_rate=0.01", "so that a hundred steps go half of the weights' length"
    (finding,) = diagnose(low)
    assert finding.remedy == "--set fit.learning_rate=0.005"
    (finding,) = diagnose(entries([4.0, math.nan]), config())
    assert (finding.name, finding.remedy) == ("not_a_number", "--set fit.learning_rate=0.002")
    assert finding.where == (2, 2)


def test_a_loss_that_rises_because_there_are_more_keys_is_none_that_rises():
    """A queue fills: chance rises from ln 64 to ln 4096, and the loss with it."""
    made = []
    for step in range(1, 201):
        candidates = min(4096, 64 * step)
        chance, loss = math.log(candidates), math.log(candidates) - 2 * (1 - math.exp(-step / 20))
        made.append({"stage": "fit", "step": step, "loss": loss, "scored_chance": chance, "found_first": 0.5})
    assert made[-1]["loss"] > made[0]["loss"]
    assert names(made) == []
    blind = [{k: v for k, v in e.items() if k in ("stage", "step", "loss")} for e in made]
    assert names(blind) == ["rate_high"], "without the chance level the same losses look sick"


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_batches_is_no_finding_and_a_loss_that_climbs_back_is(seed):
    draw = random.Random(seed)
    falling = [3 * math.exp(-i / 60) + 0.5 + draw.gauss(0, 0.25) for i in range(400)]
    assert names(entries(falling)) == []
    climbing = [v + max(0, i - 150) * 0.012 for i, v in enumerate(falling)]
    assert names(entries(climbing)) == ["rate_high"]
    ramped = {"recipe": {"also": [{"name": "hinge", "weight": {"start": 0.0, "end": 1.0}}]}}
    assert names(entries(climbing), ramped) == [], "a term whose weight grows moves the loss by itself"


def held(values, figure="mrr", every=20):
    made = entries([3 * math.exp(-i / 60) for i in range(len(values) * every)])
    return [*made, *({"stage": "fit", "step": (i + 1) * every, figure: v} for i, v in enumerate(values))]


@pytest.mark.parametrize("seed", range(5))
def test_over_fitting_is_a_fall_that_lasts(seed):
    draw = random.Random(seed)
    falling = [0.3, 0.5, 0.6, 0.5, 0.45, 0.4, 0.38]
    assert names(held(falling), config()) == ["overfitting"]
    (finding,) = diagnose(held(falling), config())
    assert "--set fit.epochs=1.71" in finding.remedy, "four epochs, best at 3 of 7"
    assert names(held([1 / v for v in falling], "dev_loss")) == ["overfitting"]
    assert names(held([{"mean": v, "low": v - 0.1, "high": v + 0.1} for v in falling])) == ["overfitting"]
    nested = [
        {"stage": e["stage"], "step": e["step"], "held_out": {"mrr": e["mrr"], "recall@10": 1.0}} if "mrr" in e else e
        for e in held(falling)
    ]
    assert names(nested) == ["overfitting"], "as a run writes them"
    assert names(held([0.6 + draw.gauss(0, 0.03) for _ in range(30)])) == [], "a plateau with its noise"
    assert names(held([0.3, 0.5, 0.6, 0.3, 0.59, 0.6, 0.58])) == [], "one bad measurement"
    level = [*entries([1.0] * 140), *({"stage": "fit", "step": 20 * i, "mrr": v} for i, v in enumerate(falling, 1))]
    assert names(level) == [], "the training loss did not fall on"


def test_a_tower_that_only_teaches_or_waits_is_not_dead():
    norms = {"gradient_norm/a": 1.0, "gradient_norm/b": 0.0, "parameter_norm/a": 1.0, "parameter_norm/b": 1.0}
    made = entries([2.0] * 50, **norms)
    assert names(made) == ["dead_tower"]
    feeds = [{"name": "x", "tower": "a", "through": "online"}, {"name": "y", "tower": "b", "through": "frozen"}]
    assert names(made, {"recipe": {"streams": feeds}}) == []
    assert names(made, {"recipe": {"streams": [*feeds, {"name": "z", "tower": "b", "through": "online"}]}}) == [
        "dead_tower"
    ]
    assert names(made, {"recipe": {"also": [{"name": "later", "weight": {"start": 0.0, "end": 1.0}}]}}) == []


def test_negatives_that_are_mined_anew_may_raise_the_loss():
    climbing = [3 * math.exp(-i / 60) + 0.5 + max(0, i - 150) * 0.012 for i in range(400)]
    mining = {"recipe": {"stages": [{"name": "fit", "refresh": [{"name": "mine", "by": "mined", "write": "hard"}]}]}}
    assert names(entries(climbing)) == ["rate_high"]
    assert names(entries(climbing), mining) == []


def test_live_tells_each_finding_once_and_the_end_tells_it_still():
    signs = {"false_negatives": 0.4, "candidates": 64.0, "positives": 1.0}
    made = entries([3.0] * 200, **signs)
    watch = Doctor(config())
    told = [(e["step"], f.name) for e in made for f in watch(e)]
    assert told == [(20, "false_negatives")], "the second measurement confirms the first"
    assert [f.name for f in watch.findings(ended=True)] == ["false_negatives"]
    later = entries([3.0] * 40, stage="second", **signs)
    assert [f.stage for e in later for f in watch(e)] == ["second"], "each stage has findings of its own"


def test_a_run_that_has_just_begun_is_not_told_that_it_learned_nothing():
    signs = {"scored_chance": 4.159, "candidates": 64.0, "positives": 1.0, "found_first": 0.016}
    made = entries([4.16] * 300, **signs)
    watch = Doctor()
    assert [(e["step"], f.name) for e in made for f in watch(e)] == [(200, "chance_level")]
    warming = Doctor()
    rising = [e | {"rate": min(1.0, e["step"] / 300)} for e in made]
    assert [f.name for e in rising for f in warming(e)] == [], "a warm-up has not had its steps"
    assert names(rising[:9]) == [], "and nine steps are no run"


def test_memory_is_bounded_and_a_long_run_reads_like_a_short_one():
    draw = random.Random(0)
    short, long = Doctor(), Doctor()
    signs = {"scored_chance": 4.0, "candidates": 64.0, "positives": 1.0, "found_first": 0.8, "lower_half": 0.2}
    for step in range(1, 20_001):
        loss = 2 + 2 * math.exp(-step / 6e3) + draw.gauss(0, 0.1)
        entry = {"stage": "fit", "step": step, "loss": loss, **(signs if step % 20 == 0 else {}), "mrr": 0.5}
        long.add(entry)
        if step % 50 == 0:
            short.add({**entry, **signs, "step": step})
    history = long._stages["fit"]
    assert len(history.blocks) <= BLOCKS
    assert len(history.signs) <= SIGNS
    assert len(history.held) <= SIGNS
    assert sum(b.count for b in history.blocks) == 20_000
    assert history.signs[0]["scored_chance"] == 4.0
    assert (
        [f.name for f in long.findings(ended=True)]
        == ["wrong_positives"]
        == [f.name for f in short.findings(ended=True)]
    )


def test_what_a_killed_or_foreign_run_wrote_is_no_trouble():
    assert diagnose([]) == []
    assert (
        diagnose([{}, {"step": None}, {"stage": 3, "step": 1, "loss": "x"}, {"step": 2, "loss": None}, {"step": True}])
        == []
    )
    odd = {"recipe": {"objective": "mine", "stages": ["fit", None], "also": None}}
    assert names(entries([4.16] * 50), odd) == []
    assert names(entries([4.16] * 50), {"recipe": None}) == []
    nested = [e | {"plan": {"peak": 1}, "notes": ["a"], "found_first": None} for e in entries([4.16] * 50)]
    assert names(nested, config()) == ["chance_level"]


def test_the_worst_stands_first_and_one_cause_gives_one_message():
    signs = {"scored_chance": 4.159, "candidates": 64.0, "positives": 1.0, "found_first": 0.016, "false_negatives": 0.5}
    made = entries([4.16] * 50, **signs)
    assert names(made) == ["chance_level", "false_negatives"]
    assert [f.severity for f in diagnose(made)] == ["error", "warning"]
    flat = entries([4.16] * 50, **signs, **{"mean_cosine/x": 0.9999})
    assert names(flat) == ["collapse", "false_negatives"], "collapse is why the loss is at chance"


def test_what_was_not_measured_is_said():
    doctor = Doctor()
    for entry in entries([4.0] * 5):
        doctor.add(entry)
    assert doctor.unmeasured() == [
        "collapse",
        "chance level",
        "how fast the weights move",
        "over-fitting (nothing was held out)",
    ]
    doctor.add(
        {"stage": "fit", "step": 6, "mean_cosine/x": 0.1, "scored_chance": 4.1, "update_ratio/a": 0.1, "mrr": 0.3}
    )
    assert doctor.unmeasured() == []
    assert doctor.steps() == {"fit": 6}


def test_a_finding_reads_as_text():
    finding = Finding("collapse", "error", "all the same", "no negatives", "--set a=1", (3, 4000), "fit")
    assert (
        str(finding)
        == "error: collapse\n   all the same [fit, steps 3 to 4,000]\n   why: no negatives\n    do: --set a=1"
    )
    assert nf.Doctor is Doctor
