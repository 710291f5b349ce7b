"""Link prediction: filtered ranks of both ends against loops over entities; edges against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.link_prediction import edge_prediction, link_prediction


def by_loops(links, tails, heads, known):
    """The reciprocal ranks [n 2] as tail and as head, where no score is tied."""
    made = []
    for number, (head, relation, tail) in enumerate(links):
        above_tail = sum(
            tails[number][e] > tails[number][tail] and (head, relation, e) not in known for e in range(len(tails[0]))
        )
        above_head = sum(
            heads[number][e] > heads[number][head] and (e, relation, tail) not in known for e in range(len(heads[0]))
        )
        made.append((1 / (1 + above_tail), 1 / (1 + above_head)))
    return np.array(made)


def world(seed=0, entities=12, n=25):
    random = np.random.default_rng(seed)
    known = {tuple(row) for row in random.integers(0, [entities, 2, entities], size=(120, 3)).tolist()}
    links = sorted(known)[:n]
    tails, heads = random.normal(size=(2, n, entities))
    return links, tails, heads, known


def test_equals_loops_filtered_and_raw():
    links, tails, heads, known = world()
    found = link_prediction(links, tails=tails, heads=heads, known=sorted(known), at=(1, 3))
    expected = by_loops(links, tails, heads, known)
    assert found.columns["tail_mrr"] == pytest.approx(expected[:, 0])
    assert found.columns["head_mrr"] == pytest.approx(expected[:, 1])
    assert found.columns["mrr"] == pytest.approx(expected.mean(1))
    assert found.columns["hit@3"] == pytest.approx((expected >= 1 / 3).mean(1))
    raw = link_prediction(links, tails=tails, heads=heads)
    unfiltered = by_loops(links, tails, heads, set())
    assert raw.columns["mrr"] == pytest.approx(unfiltered.mean(1))
    assert raw.figure() < found.figure()
    assert (raw.facts["filtered"], found.facts) == (False, {"entities": 12, "filtered": True})


def test_links_without_relations_and_tails_only():
    links, tails, _, known = world(1)
    pairs, all_pairs = [(h, t) for h, _, t in links], {(h, t) for h, _, t in known}
    found = link_prediction(pairs, tails=tails, known=sorted(all_pairs))
    same = by_loops([(h, 0, t) for h, t in pairs], tails, tails, {(h, 0, t) for h, t in all_pairs})
    assert found.columns["mrr"] == pytest.approx(same[:, 0])
    assert "tail_mrr" not in found.columns
    assert found.columns["mrr"] != pytest.approx(same[:, 1])


def test_one_score_for_all_links_is_chance_and_not_perfect():
    found = link_prediction([[0, 0, 1]], tails=np.zeros((1, 10)), heads=np.zeros((1, 10)), at=(1, 3))
    assert found.figures()["hit@1"] == pytest.approx(0.1)
    assert found.figures()["hit@3"] == pytest.approx(0.3)
    assert found.figure() == pytest.approx(sum(1 / r for r in range(1, 11)) / 10)


def test_edges_equal_scikit_learn_with_ties():
    random = np.random.default_rng(2)
    edges, others = random.integers(-3, 4, size=40) + 1.0, random.integers(-3, 4, size=60) - 0.0
    found = edge_prediction(edges, others)
    scores, labels = np.concatenate([edges, others]), np.repeat([1, 0], [40, 60])
    assert found.figures()["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert found.figures()["ap"] == pytest.approx(average_precision_score(labels, scores))
    swapped = edge_prediction(others, edges).figures()
    assert swapped["auroc"] == pytest.approx(1 - found.figures()["auroc"])
    assert swapped["ap"] != pytest.approx(found.figures()["ap"])
    assert found.figure(rows=np.arange(50)) == pytest.approx(roc_auc_score(labels[:50], scores[:50]))


def test_edges_by_vectors():
    x = np.eye(4)
    assert edge_prediction((x, x), (x, np.roll(x, 1, axis=0))).figures() == {"auroc": 1.0, "ap": 1.0}
    assert edge_prediction((x, np.roll(x, 1, axis=0)), (x, x)).figure() == 0


@pytest.mark.parametrize(
    ("links", "tails", "known", "error", "message"),
    [
        ([0, 1], np.eye(2), None, UsageError, r"shape \[2\]"),
        ([[0.0, 1.0]], np.ones((1, 2)), None, UsageError, "float64"),
        ([[0, 1]], np.ones((1, 2)), [[0, 0, 1]], UsageError, r"\[n 2\]"),
        ([[0, -1]], np.ones((1, 2)), None, DataError, "below 0"),
        ([[0, 2]], np.ones((1, 2)), None, DataError, "row 2"),
        ([[0, 1]], np.ones((1, 2)), [[0, 5]], DataError, "row 5 is excluded"),
        ([[0, 1]], np.ones((3, 2)), None, UsageError, "3 queries are scored"),
        ([[0, 1]], np.full((1, 2), np.nan), None, DataError, "NaN"),
    ],
)
def test_errors(links, tails, known, error, message):
    with pytest.raises(error, match=message):
        link_prediction(links, tails=tails, known=known)


def test_errors_of_edges():
    with pytest.raises(UsageError, match="non_edges"):
        edge_prediction([1.0], [])
    with pytest.raises(DataError, match="NaN"):
        edge_prediction([1.0, np.nan], [0.0])
