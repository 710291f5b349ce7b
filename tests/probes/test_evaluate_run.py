"""A run by qrels, against trec_eval's rules written out over lists of names."""

import numpy as np
import pytest

from nearfar.core.errors import DataError
from nearfar.probes.evaluate_run import evaluate_run
from nearfar.probes.retrieval import retrieval


def by_hand(run, qrels):
    """Average precision and reciprocal rank of each query with something relevant, documents without a tie sorted by score."""
    found = {}
    for query, gains in qrels.items():
        relevant = {d for d, gain in gains.items() if gain > 0}
        if not relevant:
            continue
        order = sorted(run.get(query, {}), key=lambda d: -run[query][d])
        hits, total, first = 0, 0.0, 0.0
        for rank, document in enumerate(order, 1):
            if document in relevant:
                hits += 1
                total += hits / rank
                first = first or 1 / rank
        found[query] = (total / len(relevant), first)
    return found


def made(seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    run, qrels = {}, {}
    for q in range(30):
        documents = random.choice(50, size=int(random.integers(1, 30)), replace=False)
        run[f"q{q}"] = {f"d{d}": float(random.normal()) + shift for d in documents}
        qrels[f"q{q}"] = {f"d{d}": int(random.integers(-1, 3)) for d in random.choice(50, size=12, replace=False)}
    del run["q4"]  # judged, and not searched for
    qrels["q5"] = {"d1": 0}  # nothing relevant
    del qrels["q6"]  # searched for, and not judged
    return run, qrels


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_equals_the_rules_of_trec_eval(shift):
    run, qrels = made(shift=shift)
    found, expected = evaluate_run(run, qrels), by_hand(run, qrels)
    assert found.names == tuple(expected)
    assert found.values("map") == pytest.approx([ap for ap, _ in expected.values()])
    assert found.values("mrr") == pytest.approx([rr for _, rr in expected.values()])
    assert found.values("map")[found.names.index("q4")] == 0
    assert found.unanswerable == sum(max(gains.values()) <= 0 for gains in qrels.values()) >= 1
    # the wrong variant: what was not retrieved is not counted as relevant
    retrieved = {q: {d: g for d, g in gains.items() if d in run.get(q, {})} for q, gains in qrels.items()}
    flattered = by_hand(run, retrieved)
    assert [ap for ap, _ in flattered.values()] != pytest.approx([ap for ap, _ in expected.values()])


def test_what_was_not_retrieved_adds_nothing_at_any_depth():
    run, qrels = {"q": {"a": 1.0, "b": 0.5}}, {"q": {"a": 1, "x": 3, "y": 0, "z": 1}}
    found = evaluate_run(run, qrels)
    assert found.figure("recall@1000") == 1 / 3
    assert found.figure("map") == 1 / 3
    assert found.figure("precision@10") == 0.1
    assert found.figure("ndcg") == pytest.approx(1 / (3 + 1 / np.log2(3) + 1 / np.log2(4)))
    assert found.figure("judged@10") == 0.5
    none = evaluate_run({"q": {"b": 1.0}}, {"q": {"a": 2, "b": 0}})
    assert [none.figure(m) for m in ("mrr", "map", "ndcg", "hit@9", "bpref", "r_precision")] == [0] * 6


def test_a_whole_ranking_is_that_of_retrieval_and_outcomes_carry_names():
    scores = np.random.default_rng(1).integers(-3, 3, size=(8, 20)).astype(float)
    gains = [{3: 1, q: 2, q + 9: 0} for q in range(8)]
    run = {f"q{q}": {f"d{d}": float(scores[q, d]) for d in range(20)} for q in range(8)}
    found = evaluate_run(run, {f"q{q}": {f"d{d}": g for d, g in some.items()} for q, some in enumerate(gains)})
    whole = retrieval(scores, gains)
    for name, value in whole.outcome().figures().items():
        assert found.outcome().figure(name) == pytest.approx(value), name
    assert list(found.outcome().names) == [f"q{q}" for q in range(8)]
    assert found.condensed().names == found.names


def test_errors():
    with pytest.raises(DataError, match=r"share none.*'1'.*'q1'"):
        evaluate_run({"1": {"a": 1.0}}, {"q1": {"a": 1}})
    with pytest.raises(DataError, match="share none"):
        evaluate_run({}, {"q1": {"a": 1}})
    with pytest.raises(DataError, match="score of query q"):
        evaluate_run({"q": {"a": float("nan")}}, {"q": {"a": 1}})
    with pytest.raises(DataError, match="none of the 1 queries"):
        evaluate_run({"q": {"a": 1.0}}, {"q": {"a": 0}})
