"""`tune`: spaces, lists of trials, what is held out from whom, cross-fitted gains, going on with a search, failures and budgets."""

import json

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.data.pairs import pairs
from nearfar.training import tune as tuning
from nearfar.training.train import train_run
from nearfar.training.tune import Range, Trial, cross_fitted_gain, read_space, trial_settings, tune
from small_world import world

QUICK = [
    "fit.epochs=4",
    "fit.min_steps=0",
    "fit.batch_size=64",
    "encoder.dimension=16",
    "encoder.buckets=256",
    "held_out=0.2",
]
SPACE = {"fit.learning_rate": [0.00001, 0.02], "objective.temperature": [0.05, 0.1]}


def searched(out, space=SPACE, data=None, **options):
    return tune("pairs", world() if data is None else data, space, out, settings=QUICK, **options)


def counted(monkeypatch):
    """Settings and seeds of all trainings that really run."""
    ran = []

    def train(recipe, data, **given):
        ran.append((tuple(given["settings"]), given["seed"]))
        return train_run(recipe, data, **given)

    monkeypatch.setattr(tuning, "train_run", train)
    return ran


# Spaces and lists of trials


def test_ranges():
    assert [Range(1, 4).at(u) for u in (0.0, 0.2, 0.3, 0.6, 0.99, 1.0)] == [1, 1, 2, 3, 4, 4]
    assert Range(0.0, 1.0).at(0.25) == 0.25
    assert Range(0.0001, 1.0, log=True).at(0.5) == pytest.approx(0.01)
    assert Range(1, 100, log=True).at(1.0) == 100
    assert isinstance(Range(1, 100, log=True).at(0.5), int)
    assert Range(1e-3, 2e-3).at(1 / 3) == 0.001333, "four digits: what is printed is what was tried"
    drawn = [t["x"] for t in trial_settings({"x": Range(1e-4, 1e-2, log=True)}, 400, seed=0)]
    assert 0.4 < np.mean(np.array(drawn) < 1e-3) < 0.6, "half of them in each decade"
    assert np.mean(np.array([t["x"] for t in trial_settings({"x": Range(1e-4, 1e-2)}, 400, seed=0)]) < 1e-3) < 0.2
    whole = [t["x"] for t in trial_settings({"x": Range(1, 3), "y": Range(0.0, 1.0)}, 600, seed=0)]
    assert all(abs(whole.count(v) / 600 - 1 / 3) < 0.06 for v in (1, 2, 3)), "the ends as often as the middle"


def test_lists_of_trials():
    small = {"a": [1, 2], "b": ["x", "y", "z"]}
    assert trial_settings(small, 6, seed=0) == [{"a": a, "b": b} for a in (1, 2) for b in "xyz"]
    drawn = trial_settings(small, 5, seed=0)
    assert len({json.dumps(t) for t in drawn}) == 5, "none twice"
    assert drawn != trial_settings(small, 5, seed=1)
    wide = {"a": [1, 2], "b": Range(0.0, 1.0)}
    assert trial_settings(wide, 30, seed=0)[:10] == trial_settings(wide, 10, seed=0)
    assert len(trial_settings({"a": Range(1, 3)}, 50, seed=0)) == 3, "a range may have fewer values than trials"
    # Settings are drawn independently: no value of one comes with one value of the other alone.
    both = {(t["a"], t["b"] > 0.5) for t in trial_settings(wide, 60, seed=0)}
    assert len(both) == 4


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "a space names settings"),
        ([1], "a space names settings"),
        ({"a": []}, "neither a list"),
        ({"a": 3}, "neither a list"),
        ({"a": {"low": 1}}, "neither a list"),
        ({"a": {"low": 1, "high": 2, "step": 1}}, "neither a list"),
        ({"a": {"low": 2, "high": 1}}, "no range from 2 to 1"),
        ({"a": {"low": 0, "high": 1, "log": True}}, "no range from 0 to 1"),
        ({"a": {"low": "1", "high": 2}}, "no range from '1'"),
        ({"a": {"low": True, "high": 2}}, "no range"),
        ({"a": {"low": 1, "high": 2, "log": 1}}, "no range"),
        ("nowhere.json", "cannot read"),
        ("broken.json", "this is no JSON"),
    ],
)
def test_wrong_spaces(space, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{'a': [1]}")
    if isinstance(space, list):
        (tmp_path / "list.json").write_text(json.dumps(space))
        space = "list.json"
    with pytest.raises(DataError, match=said) as error:
        read_space(space)
    assert error.value.remedy
    assert error.value.where


# The gain


def test_the_gain_is_cross_fitted():
    """Among many trials that are all as good, the best on the very records looks better; the one chosen elsewhere does not."""
    random = np.random.default_rng(0)
    shown, honest, sure = [], [], 0
    for _ in range(40):
        scores = random.random((30, 100))
        trials = [Trial({} if i == 0 else {"a": i}, float(s.mean()), s) for i, s in enumerate(scores)]
        gain = cross_fitted_gain(trials)
        assert gain is not None
        honest.append(gain.difference.mean)
        sure += gain.verdict == "better"
        shown.append(max(t.value for t in trials) - trials[0].value)
    assert np.mean(shown) > 0.04, "the known-bad variant: best against default on the records that chose it"
    assert abs(np.mean(honest)) < 0.015
    assert sure <= 4


def test_a_true_gain_is_found_and_what_cannot_be_compared_is_none():
    random = np.random.default_rng(0)
    base = random.random(200)
    trials = [
        Trial({}, float(base.mean()), base),
        Trial({"a": 1}, float(base.mean()) + 0.1, base + 0.1),
        Trial({"a": 2}, error="x"),
    ]
    gain = cross_fitted_gain(trials)
    assert gain is not None
    assert gain.difference.mean == pytest.approx(0.1)
    assert gain.verdict == "better"
    assert cross_fitted_gain(trials[:1]) is None
    assert cross_fitted_gain(trials[1:]) is None
    assert cross_fitted_gain([Trial({}, 0.5), Trial({"a": 1}, 0.6)]) is None


# Searches


def test_a_search_finds_what_is_better_and_writes_down_everything(tmp_path):
    made = searched(tmp_path / "s")
    assert len(made.trials) == 5, "the whole of the small space, and the recipe's own settings"
    assert made.best.settings["fit.learning_rate"] != 0.00001, "this one learns nothing"
    assert made.trials[-1].settings["fit.learning_rate"] == 0.00001
    assert [t.value for t in made.trials] == sorted((t.value for t in made.trials), reverse=True)
    assert made.default.settings == {}
    assert made.gain is not None
    assert made.gain.n == len(made.best.scores)
    lines = [json.loads(line) for line in (tmp_path / "s" / "trials.jsonl").read_text().splitlines()]
    assert lines[0]["settings"] == {}
    assert {line["value"] for line in lines} == {t.value for t in made.trials}
    for line in lines:
        directory = tmp_path / "s" / line["directory"]
        config = json.loads((directory / "config.json").read_text())
        assert config["recipe"]["stages"][0]["learning_rate"] == line["settings"].get("fit.learning_rate", 0.005)
        assert not (directory / "model").exists(), "figures stay, weights do not"
        assert not (directory / "checkpoints").exists()
        assert (directory / "metrics.jsonl").exists()
    assert made.best.arguments == [f"{k}={v}" for k, v in made.best.settings.items()]


def test_what_train_holds_out_is_seen_by_no_trial(tmp_path, monkeypatch):
    seen = {}

    def train(recipe, data, **given):
        made = train_run(recipe, data, **given)
        seen.setdefault("training", set()).update(made.records.many("query", range(len(made.records))))
        seen.setdefault("development", set()).update(made.held_out.many("query", range(len(made.held_out))))
        return made

    monkeypatch.setattr(tuning, "train_run", train)
    made = searched(tmp_path / "s", trials=1, seeds=2)
    later = train_run("pairs", world(), out=tmp_path / "later", settings=QUICK)
    test = set(later.held_out.many("query", range(len(later.held_out))))
    assert len(test) == made.untouched > 10
    assert len(seen["development"]) == made.development > 10, "the same for every trial and seed"
    assert not test & (seen["training"] | seen["development"])
    assert not seen["training"] & seen["development"]
    assert test | seen["training"] | seen["development"] == {q for q, _ in world()}


def test_the_same_call_goes_on_and_runs_nothing_twice(tmp_path, monkeypatch):
    ran = counted(monkeypatch)
    first = searched(tmp_path / "s", trials=2)
    assert len(ran) == len(set(ran)) == 3
    again = searched(tmp_path / "s", trials=2)
    assert len(ran) == 3
    assert [(t.settings, t.value) for t in again.trials] == [(t.settings, t.value) for t in first.trials]
    np.testing.assert_array_equal(again.best.scores, first.best.scores)
    assert again.gain == first.gain
    more = searched(tmp_path / "s", trials=4, seeds=2)
    assert len(ran) == len(set(ran)) == 10
    assert len(more.trials) == 5
    lines = [json.loads(line) for line in (tmp_path / "s" / "trials.jsonl").read_text().splitlines()]
    both = [line["value"] for line in lines if line["settings"] == more.best.settings]
    assert more.best.value == pytest.approx(np.mean(both))
    assert more.best.scores.mean() == pytest.approx(more.best.value)
    with pytest.raises(UsageError, match="another recipe"):
        tune("pairs", world(), SPACE, tmp_path / "s", settings=[*QUICK, "fit.epochs=2"])
    with pytest.raises(UsageError, match="another data"):
        searched(tmp_path / "s", data=world()[:-1])
    with pytest.raises(UsageError, match="another metric"):
        searched(tmp_path / "s", metric="recall@10")


class Killed(BaseException):
    pass


def test_a_killed_search_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = searched(tmp_path / "whole", trials=2)
    calls = []

    def dies(recipe, data, **given):
        calls.append(given)

        def at_step(entry, learner):
            if len(calls) == 2 and entry["step"] == 4:
                raise Killed

        return train_run(recipe, data, **given, callbacks=[at_step])

    monkeypatch.setattr(tuning, "train_run", dies)
    with pytest.raises(Killed):
        searched(tmp_path / "cut", trials=2)
    with (tmp_path / "cut" / "trials.jsonl").open("a") as file:
        file.write('{"settings": {"half')
    cut = searched(tmp_path / "cut", trials=2)
    assert len(calls) == 4, "the first was not run again, the second was gone on with, the third begun"
    assert calls[2]["resume"] is not None
    assert calls[3]["resume"] is None
    assert [(t.settings, t.value) for t in cut.trials] == [(t.settings, t.value) for t in whole.trials]
    for line in (tmp_path / "cut" / "trials.jsonl").read_text().splitlines():
        assert json.loads(line)["settings"] is not None


def test_a_failing_trial_is_written_down_and_the_search_goes_on(tmp_path, monkeypatch):
    ran = counted(monkeypatch)
    space = {"objective.temperature": [-1.0, 0.1, 0.07]}
    made = searched(tmp_path / "s", space)
    assert [t.value is None for t in made.trials] == [False, False, False, True]
    assert made.trials[-1].settings == {"objective.temperature": -1.0}
    assert "UsageError" in made.trials[-1].error
    assert made.gain is not None
    assert len(searched(tmp_path / "s", space).trials) == 4
    assert len(ran) == 4, "a failed trial is not tried again"
    with pytest.raises(UsageError):
        tune("pairs", world(), SPACE, tmp_path / "t", settings=[*QUICK, "objective.temperature=-1.0"])


def test_wrong_names_and_values_are_told_of_before_anything_runs(tmp_path, monkeypatch):
    ran = counted(monkeypatch)
    for space, said in (
        ({"fit.learning_rat": [0.1]}, "learning_rate"),
        ({"fit.epochs": ["many"]}, "many"),
        ({"fit.batch_size": {"low": 0.5, "high": 1.5}}, "0.5"),
        ({"fit.schedule": ["cosine", "square"]}, "square"),
    ):
        with pytest.raises(UsageError, match=said):
            searched(tmp_path / "s", space)
    for wrong in ({"trials": 0}, {"seeds": 0}, {"budget": 0.0}):
        with pytest.raises(UsageError, match="a search of"):
            searched(tmp_path / "s", **wrong)
    with pytest.raises(DataError, match="none can be held out"):
        searched(tmp_path / "few", data=world()[:12])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="in one process"):
        searched(tmp_path / "s")
    assert ran == []


def test_a_budget_ends_the_search_and_the_next_call_goes_on(tmp_path, monkeypatch):
    ran = counted(monkeypatch)
    made = searched(tmp_path / "s", budget=1e-9, seeds=2)
    assert ran == [((), 0)], "the recipe's own settings are always tried"
    assert (len(made.trials), made.pending, made.gain) == (1, 9, None)
    assert made.best.settings == {}
    after = searched(tmp_path / "s", budget=1e9)
    assert len(ran) == 5
    assert after.pending == 0
    # Seeds that a budget cut off count for nobody: all are compared on the first.
    cut = searched(tmp_path / "s", budget=1e-9, seeds=2)
    assert cut.pending == 5
    assert [(t.settings, t.value) for t in cut.trials] == [(t.settings, t.value) for t in after.trials]


def test_records_in_hand_another_metric_and_models_that_are_kept(tmp_path):
    records = pairs(world()).records()
    made = searched(
        tmp_path / "s", {"objective.temperature": [0.1]}, data=records, keep_models=True, metric="recall@10"
    )
    assert len(made.trials) == 2
    assert all((path / "model").is_dir() for path in (tmp_path / "s" / "runs").iterdir())


def test_progress_and_an_interrupt(tmp_path, monkeypatch):
    told = []
    searched(tmp_path / "s", trials=1, progress=lambda done, total, note: told.append((done, total, note)))
    assert [t[:2] for t in told] == [(0, 2), (1, 2), (2, 2)]
    assert told[0][2] == ""
    assert told[1][2].startswith("best mrr 0.")

    def stopped(recipe, data, **given):
        made = train_run(recipe, data, **given)
        made.fitted.interrupted = bool(given["settings"])
        return made

    monkeypatch.setattr(tuning, "train_run", stopped)
    made = searched(tmp_path / "t")
    assert made.interrupted
    assert (len(made.trials), made.pending) == (1, 4)
