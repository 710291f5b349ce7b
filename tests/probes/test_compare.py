"""`compare`: verdicts, sentences and queries of known differences; what is not comparable is refused with a remedy."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.compare import Row, compare
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import compare_outcomes
from nearfar.probes.stored_outcomes import load_outcomes, save_outcomes

N = 60
NAMES = [f"question {i}" for i in range(N)]
BASE = np.random.default_rng(0).random(N)


def outcome(gain=0.0, seed=0, names=NAMES, **more):
    noise = np.random.default_rng(seed).normal(0, 0.05, N)
    columns = {"mrr": BASE + gain + noise, "recall@10": (BASE + gain > 0.5).astype(float)}
    return Outcome("retrieval", "mrr", "queries", columns, means=("mrr", "recall@10"), names=names, **more)


def test_one_task():
    a, b = outcome(seed=1), outcome(0.1, seed=2)
    made = compare({"search": a}, {"search": b})
    assert made.verdict == "better"
    assert made.sentence.startswith("B is better than A in mrr (+0.")
    assert [(row.task, row.metric) for row in made.rows + made.others] == [("search", "mrr"), ("search", "recall@10")]
    expected = compare_outcomes(b, a)
    assert made.rows[0].found == expected
    assert made.rows[0].found != compare_outcomes(a, b), "the other way round would be wrong"
    assert (made.rows[0].a, made.rows[0].b) == (a.figure(), b.figure())
    assert compare({"search": b}, {"search": a}).verdict == "worse"
    assert compare({"search": a}, {"search": a}).verdict == "unclear"
    assert [row.metric for row in compare({"s": a}, {"s": b}, "recall@10").rows] == ["recall@10"]
    assert compare({"s": a}, {"s": b}, "recall@10").others == ()
    assert nf.compare is compare


def test_the_queries_that_differ_most_by_name_not_by_place():
    a = outcome()
    columns = {name: column.copy() for name, column in a.columns.items()}
    columns["mrr"][7] += 0.5
    columns["mrr"][9] -= 0.4
    columns["mrr"][11] += 0.1
    turned = {name: column[::-1] for name, column in columns.items()}
    b = Outcome("retrieval", "mrr", "queries", turned, means=a.means, names=NAMES[::-1])
    made = compare({"s": a}, {"s": b})
    gained, lost = made.most(5)
    assert [(u.name, round(u.difference, 9)) for u in gained] == [("question 7", 0.5), ("question 11", 0.1)]
    assert [(u.name, round(u.difference, 9)) for u in lost] == [("question 9", -0.4)]
    assert [u.name for u in made.most(1)[0]] == ["question 7"]
    assert made.counts == (2, 1, N - 3)
    assert made.most(0) == ([], [])


def test_several_tasks_are_corrected():
    gains = {"one": 0.1, "two": 0.0, "three": 0.012}
    a = {task: outcome(seed=k) for k, task in enumerate(gains)}
    b = {task: outcome(gain, seed=10 + k) for k, (task, gain) in enumerate(gains.items())}
    made = compare(a, b)
    raw = [row.found.p_value for row in made.rows]
    order = sorted(range(3), key=lambda i: raw[i])
    by_hand = [0.0] * 3
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (3 - place) * raw[i]))
        by_hand[i] = highest
    assert [row.holm for row in made.rows] == pytest.approx(by_hand)
    assert made.others == ()
    assert made.rows[0].verdict == "better"
    assert made.sentence.startswith("B is better than A on 1 of 3 tasks and surely worse on none (mean gain +0.0")
    mixed = compare(a, b | {"two": outcome(-0.2, seed=4)})
    assert (mixed.verdict, mixed.sentence[:53]) == ("mixed", "B is better than A on 1 of 3 tasks and worse on 1 (me")
    assert compare(a, a).sentence.startswith("No sure difference between B and A on any of 3 tasks")


def test_a_row_that_chance_among_many_explains_is_unclear():
    found = compare_outcomes(outcome(0.012, seed=3), outcome(seed=5))
    lucky = Row("t", "mrr", 0, 0, found, holm=found.p_value)
    assert lucky.verdict == "better"
    assert Row("t", "mrr", 0, 0, found, holm=min(1.0, 60 * found.p_value)).verdict == "unclear"


def test_runs_in_folders_are_paired_by_seed(tmp_path):
    for seed in range(10):
        shared = 0.3 * np.random.default_rng(seed + 50).normal()  # what a seed does to both
        save_outcomes(tmp_path / f"a-{seed}", {"s": outcome(shared, seed)}, {"seed": seed})
        save_outcomes(tmp_path / f"b-{9 - seed}", {"s": outcome(shared + 0.02, seed + 20)}, {"seed": seed})
    a, b = ([tmp_path / f"{side}-{i}" for i in range(10)] for side in "ab")
    made = compare(a, b)
    assert made.verdict == "better"
    assert made.rows[0].found.units == "runs"
    assert made.a == f"{tmp_path / 'a-0'} and 9 more"
    assert len(made.units) == N
    for side in "ab":  # without seeds they are paired as they are given, and what seeds do hides the gain
        for i in range(10):
            save_outcomes(tmp_path / f"{side}-{i}", load_outcomes(tmp_path / f"{side}-{i}")[0], {})
    assert compare(a, b).verdict == "unclear"


def test_what_one_side_lacks_is_told():
    few = Outcome("retrieval", "mrr", "queries", {"mrr": BASE[:50]}, means=("mrr",), names=NAMES[:50], facts={"k": 1})
    made = compare({"s": outcome(facts={"k": 2}), "t": outcome()}, {"s": few})
    assert made.notes == (
        "not on both sides, and left out: t",
        "s: 10 queries that only A has are left out",
        "s: k is 2 on side A and 1 on side B",
    )
    assert made.rows[0].a == pytest.approx(outcome().columns["mrr"][:50].mean())


def ranked(columns):
    return float(np.corrcoef(columns["rank"], columns["gold"])[0, 1])


def test_a_metric_that_single_units_do_not_have():
    random = np.random.default_rng(0)
    gold = random.permutation(N)

    def one(noise):
        rank = np.argsort(np.argsort(gold + random.normal(size=N) * noise))
        return Outcome("sts", "r", "pairs", {"rank": rank, "gold": gold}, metrics={"r": ranked}, swapped=("rank",))

    made = compare({"s": one(40)}, {"s": one(2)})
    assert made.verdict == "better"
    assert (made.units, made.most()) == ((), ([], []))


def test_refusals(tmp_path):
    marked = outcome(facts={"fingerprint": "x"})
    with pytest.raises(DataError, match="different data"):
        compare({"s": marked}, {"s": outcome(facts={"fingerprint": "y"})})
    save_outcomes(tmp_path / "run", {"s": marked}, {"seed": 1})
    with pytest.raises(DataError, match="give all runs one held-out set"):
        compare(tmp_path / "run", {"s": outcome(facts={"fingerprint": "y"})})
    with pytest.raises(DataError, match="no task in common: s and t"):
        compare({"s": marked}, {"t": marked})
    with pytest.raises(UsageError, match=r"no metric of s named 'mrs'.*did you mean mrr"):
        compare({"s": marked}, {"s": marked}, "mrs")
    others = outcome(names=[*NAMES[:10], *(f"other {i}" for i in range(50))])
    with pytest.raises(DataError, match="only 10 queries are the same for both sides, and 100 are not"):
        compare({"s": outcome()}, {"s": others})
    with pytest.raises(DataError, match="there is no such run"):
        compare(tmp_path / "absent", {"s": marked})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there are no outcomes here"):
        compare(tmp_path / "empty", {"s": marked})
    with pytest.raises(UsageError, match="no runs"):
        compare([], {"s": marked})
    with pytest.raises(UsageError, match="1 runs cannot be compared with 2"):
        compare([{"s": marked}] * 2, {"s": marked})
