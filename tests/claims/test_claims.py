"""Claims: what is expected is read right, verdicts are right, trials are paired, tuned on the dev part alone, stored and resumed."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from nearfar.claims.expectation import comparisons
from nearfar.claims.found import found
from nearfar.claims.judge import judged, overall
from nearfar.claims.record import ClaimRecord, read_record
from nearfar.claims.run import DEV_SEED, OutOfTime, processes, run_claim
from nearfar.claims.table import claim_rows
from nearfar.claims.trial import dataset_of, run_trial, trained, untrained
from nearfar.cli.main import main
from nearfar.core.errors import UsageError
from nearfar.core.parts import RECIPES, find
from nearfar.core.tree import override
from nearfar.data.dataset import Dataset

METHOD = '''
"""A method of somebody's own."""
import numpy as np
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Recipe, Use
from nearfar.probes.outcome import Outcome

def recipe():
    return Recipe("mine", Use("static"))

def trial(recipe, dataset, seed, split, options):
    """The better the nearer `level` is to one half; the dev part and the test part differ by a shift that both arms share."""
    chance = np.random.default_rng(seed)
    noise = chance.normal()
    own = np.random.default_rng([seed, len(options["who"])]).normal() * NOISE
    value = GAIN * (options["who"] == "ours") - abs(options.get("level", 0.5) - 0.5) + noise + own + 10 * (split == "dev")
    return {"score": value}

CLAIM = Claim("mine is better", expect="EXPECT", arms={"ours": Arm(options={"who": "ours"}), "rival": Arm(options={"who": "the other"})},
              data="digits", trial=trial, margin=0.1, n=10, tune={"level": (0.1, 0.5, 0.8)})
'''


def method(folder, gain=0.5, noise=0.01, expect="ours > rival", name="mine"):
    path = folder / f"{name}.py"
    path.write_text(METHOD.replace("GAIN", str(gain)).replace("NOISE", str(noise)).replace("EXPECT", expect))
    return str(path)


def serial(trials, keep=False):
    for trial in trials:
        yield run_trial(trial, keep=keep)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a > b", ["a > b"]),
        ("a < b", ["b > a"]),
        ("a < b < c", ["b > a", "c > b"]),
        ("a = b, c > a", ["a = b", "c > a"]),
        ("a > b = c", ["a > b", "b = c"]),
        ("a > b, recall@10: b < c", ["a > b", "recall@10: c > b"]),
    ],
)
def test_expectations(line, expected):
    assert [str(c) for c in comparisons(line, "abc")] == expected


@pytest.mark.parametrize("line", ["", "a", "a >", "a > d", "a > b,", "> a", "a > b:"])
def test_a_line_that_expects_nothing(line):
    with pytest.raises(UsageError, match=r"compares nothing|no arm"):
        comparisons(line, "abc")


@pytest.mark.parametrize(
    ("line", "shift", "margin", "verdict"),
    [
        ("a > b", 0.5, 0.1, "reproduced"),
        ("a > b", 0.5, 0.6, "not reproduced"),
        ("a > b", 0.0, 0.1, "not reproduced"),
        ("a > b", -0.5, 0.1, "contradicted"),
        ("a < b", -0.5, 0.1, "reproduced"),
        ("a = b", 0.0, 0.1, "reproduced"),
        ("a = b", 0.0, 0.001, "not reproduced"),
        ("a = b", 0.5, 0.1, "contradicted"),
    ],
)
def test_verdicts(line, shift, margin, verdict):
    chance = np.random.default_rng(0)
    b = chance.normal(size=10)
    a = b + shift + 0.05 * chance.permutation(np.linspace(-1, 1, 10))
    (comparison,) = comparisons(line, "ab")
    first, second = (a, b) if comparison.first == "a" else (b, a)
    assert judged(comparison, first, second, margin).verdict == verdict


def test_intervals_over_ten_seeds_cover_and_those_of_a_normal_would_not():
    chance, (comparison,) = np.random.default_rng(1), comparisons("a > b", "ab")
    inside = normal = 0
    for _ in range(2000):
        differences = chance.normal(0.3, 1, 10)
        found_here = judged(comparison, differences, np.zeros(10), 0)
        inside += found_here.low <= 0.3 <= found_here.high
        normal += abs(differences.mean() - 0.3) <= 1.96 * differences.std(ddof=1) / np.sqrt(10)
    assert 0.935 <= inside / 2000 <= 0.965
    assert normal / 2000 < 0.93


def test_the_p_value_is_that_of_all_signs():
    (c,) = comparisons("a > b", "ab")
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.5])
    means = [abs(np.dot(s, differences)) for s in product((1, -1), repeat=5)]
    assert judged(c, differences, np.zeros(5), 0).p_value == np.mean(np.array(means) >= differences.sum() - 1e-12)
    assert judged(c, np.ones(10), np.zeros(10), 0).p_value == 2 / 1024


def test_all_comparisons_must_hold():
    (c,) = comparisons("a > b", "ab")
    good, open_, bad = (judged(c, np.linspace(0, 0.1, 10) + s, np.zeros(10), 0.0) for s in (1, -0.05, -1))
    assert overall([good, good]) == "reproduced"
    assert overall([good, open_]) == "not reproduced"
    assert overall([good, open_, bad]) == "contradicted"


def test_a_claim_is_run_tuned_judged_and_stored(tmp_path):
    made = found(method(tmp_path))
    record = run_claim(made, tmp_path / "results", serial)
    assert record.verdict == "reproduced"
    assert record.comparisons[0]["difference"] == pytest.approx(0.5, abs=0.05)
    assert record.chosen == {"ours": {"level": 0.5}, "rival": {"level": 0.5}}
    choosing = [t for t in record.trials.values() if t["split"] == "dev"]
    assert {t["seed"] for t in choosing} == {DEV_SEED}
    assert len(choosing) == 6
    final = [t for t in record.trials.values() if t["split"] == "test"]
    assert sorted((t["arm"], t["seed"]) for t in final) == sorted(product(["ours", "rival"], range(10)))
    assert max(t["figures"]["score"] for t in final) < 6 < min(t["figures"]["score"] for t in choosing), (
        "parts are told apart"
    )
    assert read_record(tmp_path / "results" / "mine.json") == record


def test_of_an_error_tuning_keeps_the_lowest(tmp_path):
    path = Path(method(tmp_path, expect="rival > ours"))
    lower = path.read_text().replace('return {"score": value}', 'return {"score": -value}')
    path.write_text(lower.replace("trial=trial,", 'trial=trial, better="lower",'))
    record = run_claim(found(str(path)), tmp_path / "results", serial)
    assert record.chosen == {"ours": {"level": 0.5}, "rival": {"level": 0.5}}
    assert record.verdict == "reproduced"
    path.write_text(lower)
    wrong = run_claim(found(str(path)), tmp_path / "others", serial)
    assert {chosen["level"] for chosen in wrong.chosen.values()} == {0.1}


def test_pairs_by_seed_find_what_unpaired_values_hide(tmp_path):
    record = run_claim(found(method(tmp_path, gain=0.3)), tmp_path, serial)
    ours, rival = (record.figures(arm, range(10), "score") for arm in ("ours", "rival"))
    assert record.verdict == "reproduced"
    (comparison,) = comparisons("ours > rival", ["ours", "rival"])
    assert judged(comparison, ours, list(reversed(rival)), 0.1).verdict == "not reproduced"


@pytest.mark.parametrize(
    ("gain", "expect", "verdict"),
    [
        (-0.5, "ours > rival", "contradicted"),
        (0.0, "ours = rival", "reproduced"),
        (0.11, "ours > rival", "not reproduced"),
    ],
)
def test_other_outcomes(gain, expect, verdict, tmp_path):
    assert run_claim(found(method(tmp_path, gain, 0.05, expect)), tmp_path, serial).verdict == verdict


def test_a_comparison_of_another_metric_is_judged_by_that_one(tmp_path):
    verdicts = {}
    for name, expect in (("both", "ours > rival, lack: rival > ours"), ("one", "ours > rival, rival > ours")):
        path = Path(method(tmp_path, expect=expect, name=name))
        path.write_text(path.read_text().replace('{"score": value}', '{"score": value, "lack": -value}'))
        record = run_claim(found(str(path)), tmp_path / "results", serial)
        verdicts[name] = record.verdict
    assert [c["comparison"] for c in read_record(tmp_path / "results" / "both.json").comparisons] == [
        "ours > rival",
        "lack: rival > ours",
    ]
    assert verdicts == {"both": "reproduced", "one": "contradicted"}


def test_what_is_stored_is_not_run_again_unless_something_changed(tmp_path):
    path = method(tmp_path)
    ran = []

    def counted(trials, keep=False):
        for tried in serial(trials, keep):
            ran.append(tried.trial.key)
            yield tried

    run_claim(found(path), tmp_path, counted)
    assert len(ran) == 26
    run_claim(found(path), tmp_path, counted)
    assert len(ran) == 26
    text = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(
        "# a comment\n" + text.replace("margin=0.1,", "margin=0.1, reading='as expected',")
    )
    run_claim(found(path), tmp_path, counted)
    assert len(ran) == 26, "comments and the reading change nothing"
    (tmp_path / "mine.py").write_text(text.replace("margin=0.1", "margin=0.2"))
    run_claim(found(path), tmp_path, counted)
    assert len(ran) == 52, "the margin is part of the claim"
    run_claim(found(path), tmp_path, counted, again=True)
    assert len(ran) == 78


def test_what_a_recipe_leaves_at_its_default_is_no_part_of_the_fingerprint():
    from nearfar.claims.found import _chosen
    from nearfar.core.recipe import Contrast, Feed, Recipe, Use

    recipe = Recipe("mine", Use("static"), Contrast(temperature=0.1), streams=(Feed("x", "text"),))
    assert _chosen(recipe) == {
        "name": "mine",
        "encoder": {"part": "static"},
        "objective": {"temperature": 0.1},
        "streams": [{"name": "x", "field": "text"}],
    }


def test_a_run_that_was_stopped_goes_on(tmp_path):
    path, ran = method(tmp_path), []

    def stopped(trials, keep=False):
        for tried in serial(trials, keep):
            ran.append(tried.trial.key)
            yield tried
            if len(ran) == 9:
                raise OutOfTime("the time is up")

    with pytest.raises(OutOfTime):
        run_claim(found(path), tmp_path, stopped)
    half = read_record(tmp_path / "mine.json")
    assert len(half.trials) == 9
    assert half.verdict == ""
    record = run_claim(found(path), tmp_path, stopped)
    assert len(ran) == 26
    assert len(set(ran)) == 26
    whole = run_claim(found(path), tmp_path / "whole", serial)
    assert record.comparisons == whole.comparisons


def test_the_claims_own_errors(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    method(tmp_path)
    text = path.read_text()
    for old, new, message in (
        ("(0.1, 0.5, 0.8)", "(0.1, 0.5, 0.8, 1, 2, 3, 4)", "tuning would try 7"),
        ("n=10", "n=1", "no interval"),
        ("trial=trial, ", "", "nothing is measured"),
        ("CLAIM =", "OTHER =", "makes no claim"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(UsageError, match=message):
            found(str(path))
    path.write_text(text.replace('{"score": value}', '{"score": float("nan")}'))
    with pytest.raises(UsageError, match="is nan"):
        run_claim(found(str(path)), tmp_path, serial)
    path.write_text(text.replace('data="digits"', 'data="mnist"'))
    monkeypatch.delenv("NEARFAR_DATA", raising=False)
    with pytest.raises(Exception, match="NEARFAR_DATA"):
        run_claim(found(str(path)), tmp_path, serial)


def test_trials_in_processes_and_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = method(tmp_path)
    with processes(2, deadline=0.0) as late, pytest.raises(OutOfTime, match="6 trials left"):
        run_claim(found(path), tmp_path / "late", late)
    assert main(["claim", "./mine.py", "--workers", "2", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "mine: reproduced" in shown
    assert "ours > rival: +0.4" in shown or "ours > rival: +0.5" in shown
    assert "reading" not in shown
    text = Path(path).read_text()
    Path(path).write_text(text.replace("trial=trial,", 'trial=trial, reading="as the paper says",'))
    assert main(["claim", "./mine.py", "--workers", "2", "--quiet"]) == 0
    assert capsys.readouterr().out == shown + "  reading: as the paper says\n", "a reading voids no record"
    inside = run_claim(found(path), tmp_path / "serial", serial)
    assert json.loads((tmp_path / "claims/results/mine.json").read_text())["comparisons"] == [
        dict(c) for c in inside.comparisons
    ]
    assert main(["claims"]) == 0
    assert "1 reproduced" in capsys.readouterr().out
    assert main(["claims", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["claims"]
    assert one["q"] == one["comparisons"][0]["p_value"]
    assert main(["claim"]) == 2
    assert main(["claim", "./mine.py", "--budget", "soon"]) == 2
    assert main(["claims", "--out", "nowhere"]) == 3


def test_the_false_discovery_rate_over_claims():
    def record(name, p, kind=">"):
        comparisons = [
            {"comparison": f"a {kind} b", "p_value": p, "difference": 0, "low": 0, "high": 0, "n": 10, "verdict": ""}
        ]
        return ClaimRecord(name, "", "", {}, comparisons=comparisons, verdict="reproduced")

    from scipy import stats

    p = [0.001, 0.04, 0.03, 0.2, 0.005]
    rows = claim_rows({str(i): record(str(i), value) for i, value in enumerate(p)} | {"e": record("e", 0.5, "=")})
    assert [row.q for row in rows[:-1]] == pytest.approx(stats.false_discovery_control(p))
    assert rows[-1].q is None, "an equivalence tests no difference"


def test_untrained_is_where_a_training_begins():
    recipe = override(with_settings("image_views"), "fit.epochs=1")
    small = dataset_of("digits")
    records = Dataset("some", {"train": small.train.take(range(64))})
    begun = untrained(recipe, records, 3)
    still = replace(recipe, stages=(replace(recipe.fits[0], learning_rate=1e-30),))
    pictures = records.train.many("image", range(8))
    vectors = begun.encode(pictures, side="image")
    assert np.allclose(vectors, trained(still, records, 3).encode(pictures, side="image"), atol=1e-6)
    assert not np.allclose(vectors, untrained(recipe, records, 4).encode(pictures, side="image"), atol=1e-2)
    assert not np.allclose(vectors, trained(recipe, records, 3).encode(pictures, side="image"), atol=1e-2)


def with_settings(name):
    """A recipe for pictures, small."""
    recipe = find(name, RECIPES).load()()
    for setting in (
        "encoder.size=8",
        "encoder.channels=1",
        "encoder.width=8",
        "fit.batch_size=16",
        "fit.learning_rate=0.01",
    ):
        recipe = override(recipe, setting)
    return recipe
