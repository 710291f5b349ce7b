"""Early stopping and the best weights by any probe; what would have no effect is refused; a run that had stopped stays stopped."""

import io
import shutil
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.recipe import Use
from nearfar.core.stage import Fit, Measure
from nearfar.probes.outcome import Outcome
from nearfar.training import fit, kept, probing
from nearfar.training.progress import Standing
from nearfar.training.train import train_run
from small_recipes import FIT, changed, small, table

SHORT = changed(FIT, epochs=8, checkpoint_steps=100, measure=1.0)
PER_PASS = 2  # 81 records in batches of 32; what is left over waits


class Given:
    """A probe of figures known beforehand; it sees how often it was asked, and of what."""

    def __init__(self, *values, name="worth", wrap=dict):
        self.values, self.name, self.wrap, self.seen = list(values), name, wrap, []

    def __call__(self, model, records):
        assert not model.training
        self.seen.append(model.encode(records.many("row", range(len(records))), side="row").copy())
        return self.wrap({"steady": 1.0, self.name: self.values[len(self.seen) - 1]})


def outcome(figures, higher=True):
    columns = {name: np.full(2, value) for name, value in figures.items()}
    return Outcome("mine", "worth", "records", columns, means=tuple(columns), higher={"worth": higher})


def stopped_at(tmp_path, **fields):
    made = train_run(small("probed", fit=changed(SHORT, **fields)), table(), out=tmp_path / "run")
    assert made.fitted.total == 8 * PER_PASS
    return made


@pytest.mark.parametrize(
    ("values", "better", "passes"),
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9, 0.9, 0.9, 0.9], "higher", 4),
        ([0.9, 0.5, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1], "lower", 4),
        ([0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -1.0], "lower", 8),  # the same figures read the other way stop at once
        ([0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -1.0], "higher", 3),
    ],
)
def test_a_function_of_ones_own_stops_it_and_chooses_the_weights(values, better, passes, tmp_path):
    probe = Given(*values)
    made = stopped_at(tmp_path, probe=probe, figure="worth", better=better, patience=2, keep="best")
    assert made.fitted.steps == passes * PER_PASS == len(probe.seen) * PER_PASS
    assert (made.fitted.stopped == "no better worth in 2 measurements") == (passes < 8)
    best = int(np.argmax(values[:passes]) if better == "higher" else np.argmin(values[:passes]))
    held_out = made.held_out.many("row", range(len(made.held_out)))
    np.testing.assert_array_equal(made.model.encode(held_out, side="row"), probe.seen[best])
    assert all(not np.array_equal(probe.seen[best], other) for i, other in enumerate(probe.seen) if i != best)
    assert [list(e["held_out"]) for e in made.run.logged() if "held_out" in e] == [["worth", "steady"]] * passes


def test_an_outcome_is_one_and_says_which_way_is_better(tmp_path):
    made = stopped_at(tmp_path, probe=Given(0.5, 0.4, wrap=outcome), patience=1)
    assert made.fitted.steps == 2 * PER_PASS
    assert next(e["held_out"] for e in made.run.logged() if "held_out" in e) == {"worth": 0.5, "steady": 1.0}
    with pytest.raises(UsageError, match="worth is the better the lower") as caught:
        lower = Given(0.5, wrap=lambda figures: outcome(figures, higher=False))
        train_run(small("probed", fit=changed(SHORT, probe=lower)), table(), out=tmp_path / "wrong")
    assert caught.value.remedy == "--set fit.better=lower"


def spread(model, dataset, split, *, scale: float = 1.0):
    """A part of `measures/`."""
    assert len(dataset.train) + len(dataset.part(split)) == 90
    vectors = model.encode(dataset.part(split).many("row", range(len(dataset.part(split)))), side="row")
    return outcome({"worth": float(vectors.std()) * scale})


def test_a_part_by_its_name_and_with_options(tmp_path, monkeypatch):
    def resolve(name, kind):
        assert (name, kind) == ("spread", "measures")
        return spread

    monkeypatch.setattr(probing, "resolve", resolve)
    figures = {}
    for scale in (1.0, 10.0):
        recipe = small("named", fit=changed(SHORT, epochs=1, probe=Use("spread", {"scale": scale})))
        recipe = nf.Recipe(**{**vars(recipe), "stages": (*recipe.stages, Measure("at the end", "spread"))})
        made = train_run(recipe, table(), out=tmp_path / str(scale))
        figures[scale] = next(e["held_out"]["worth"] for e in made.run.logged() if "held_out" in e)
        assert made.model.about["measured"]["at the end"]["worth"] == pytest.approx(figures[scale] / scale)
    assert figures[10.0] == pytest.approx(10 * figures[1.0])
    assert figures[1.0] > 0
    with pytest.raises(UsageError, match="no option 'scal'"):
        train_run(small("n", fit=changed(SHORT, probe=Use("spread", {"scal": 1.0}))), table(), out=tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists(), "it was told before anything was trained"


def test_a_probe_with_data_of_its_own_needs_nothing_held_out(tmp_path):
    probe = Given(0.5, 0.4)
    recipe = small("own", fit=changed(SHORT, probe=probe, patience=1), held_out=0.0)
    assert train_run(recipe, table(), out=tmp_path / "run").fitted.stopped
    assert len(probe.seen[0]) == 90


def broken(model, records):
    raise ValueError("no such gold")


@pytest.mark.parametrize(
    ("fields", "held_out", "says"),
    [
        ({"measure": 0.0, "patience": 2}, 0.1, "fit.patience needs measurements on the way"),
        ({"measure": 0.0, "keep": "best"}, 0.1, "fit.keep needs measurements on the way"),
        ({"measure": 0.0, "probe": broken}, 0.1, "fit.probe needs measurements on the way"),
        ({"patience": 2}, 0.0, "fit.patience needs records that are held out"),
        ({"keep": "best"}, 0.0, "fit.keep needs records that are held out"),
        ({"patience": 0}, 0.1, "a patience of 0"),
        ({"probe": "no_such_measure"}, 0.1, "no_such_measure"),
        ({"probe": broken}, 0.1, "the probe failed: ValueError: no such gold; the last checkpoint"),
        ({"probe": lambda model, records: {}}, 0.1, "no number by name"),
        ({"probe": lambda model, records: 0.5}, 0.1, "no number by name"),
        ({"figure": "mr"}, 0.1, "gives no figure 'mr'.*"),
    ],
)
def test_what_would_have_no_effect_or_gives_no_figure_is_refused(fields, held_out, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        train_run(small("w", fit=changed(SHORT, **fields), held_out=held_out), table(), out=tmp_path / "run")


def test_measuring_alone_needs_nothing(tmp_path):
    assert train_run(small("w", fit=changed(SHORT, epochs=1), held_out=0.0), table(), out=tmp_path / "run").fitted.steps


class Falling:
    """A figure that gets worse each time."""

    value = 1.0

    def __call__(self, model, records):
        self.value -= 0.1
        return {"worth": self.value}


falling = Falling()


def staged(second=True):
    """A stage that stops early, and further ones."""
    first = changed(SHORT, probe=falling, patience=2)
    stages = (first, Measure("between"), changed(FIT, name="second", epochs=2, checkpoint_steps=100))
    return nf.Recipe(**{**vars(small("staged")), "stages": stages[: 3 if second else 1]})


def weights(made):
    return made.model.state_dict()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("second", [True, False])
def test_a_run_that_had_stopped_early_stays_stopped_when_resumed(second, tmp_path, monkeypatch):
    """Killed after the stage had stopped and before the next checkpoint; or gone on with after its end."""

    def train(**words):
        falling.value = 1.0
        return train_run(staged(second), table(), **words)

    whole = train(out=tmp_path / "whole")
    assert [e["step"] for e in whole.run.logged() if e["stage"] == "fit" and "loss" in e][-1] == 3 * PER_PASS

    class Killed(BaseException):
        pass

    real = fit.Loop.publish

    def killed(loop):
        if loop.stage.name == ("second" if second else "fit"):
            raise Killed
        real(loop)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(kept, "save_checkpoint", lambda *a, **k: _unless_second(*a, **k))
        patch.setattr(fit.Loop, "publish", killed)
        train(out=tmp_path / "part")
    shutil.copytree(tmp_path / "part", tmp_path / "other")
    resumed = train(resume=tmp_path / "part")
    assert same(weights(resumed), weights(whole))
    timed = ("seconds", "plan")
    logs = [[{k: v for k, v in e.items() if k not in timed} for e in made.run.logged()] for made in (whole, resumed)]
    assert logs[0] == logs[1], "also what was measured between the stages stands there once"
    assert resumed.model.about["measured"] == whole.model.about["measured"]
    again = train(resume=tmp_path / "whole")
    assert same(weights(again), weights(whole))
    # Without the verdict of the log it trains on.
    monkeypatch.setattr(probing.Probing, "verdict", lambda self, measured: "")
    with pytest.raises(AssertionError):
        assert same(weights(train(resume=tmp_path / "other")), weights(whole))


real_save = kept.save_checkpoint


def _unless_second(folder, made, about, **words):
    if made.name != "second":
        real_save(folder, made, about, **words)


def test_what_an_earlier_stage_found_best_is_not_the_later_ones(tmp_path, monkeypatch):
    falling.value = 1.0
    first = changed(SHORT, epochs=2, probe=falling, keep="best")
    second = changed(first, name="second", measure=100.0)  # measures at its end alone
    two = nf.Recipe(**{**vars(small("two")), "stages": (first, second)})
    made = train_run(two, table(), out=tmp_path / "run")
    one = train_run(nf.Recipe(**{**vars(two), "stages": (first,)}), table(), out=tmp_path / "one")
    assert not same(weights(made), weights(one))
    # Had the later stage never measured, the best checkpoint of the first would lie there still.
    monkeypatch.setattr(probing.Probing, "is_due", lambda self, *at: self.stage.name == "fit" and at[0] % PER_PASS == 0)
    falling.value = 1.0
    late = train_run(two, table(), out=tmp_path / "late")
    assert same(weights(late), weights(made)), "the last weights of the second stage, both times"


def test_what_only_the_end_shows_is_told_by_the_run_itself_and_by_one_that_goes_on(tmp_path, monkeypatch):
    def trained(rate, **words):
        told, err = [], io.StringIO()
        recipe = small("slow", fit=changed(FIT, learning_rate=rate, epochs=20, checkpoint_steps=30))
        with redirect_stderr(err):
            made = train_run(recipe, table(), progress=told.append, **words)
        return made, told, err.getvalue()

    made, told, said = trained(1e-7, out=tmp_path / "slow")
    assert "rate_low" in [f.name for f in made.findings]
    assert said.count("rate_low") == 1
    again, _, said = trained(1e-7, resume=tmp_path / "slow")
    assert [f.name for f in again.findings] == [f.name for f in made.findings]
    assert "rate_low" not in [f.name for f in trained(0.01, out=tmp_path / "healthy")[0].findings]
    last = told[-1]
    assert isinstance(last, Standing)
    assert (last.step, last.total) == (40, 40)
    assert last.chance == pytest.approx(np.log(32), abs=1e-4)
    assert last.rate > 0
    assert str(last).startswith(f"loss {last.loss:.3f} (chance 3.466), ")


def test_a_loss_that_scores_no_pairs_has_no_chance_level(tmp_path):
    told = []
    recipe = small("v", fit=Fit(batch_size=32, epochs=1, learning_rate=0.01), objective=Use("vicreg"))
    train_run(recipe, table(), out=tmp_path / "run", progress=told.append)
    assert told
    assert all(at.chance is None for at in told)
    seen = []
    nf.train(
        recipe, table(), out=tmp_path / "again", progress=lambda step, steps, loss: seen.append((step, steps, loss))
    )
    assert [(at.step, at.total, at.loss) for at in told] == seen
