"""Bitext mining: margins, proposals and thresholds against loops over single sentences."""

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.bitext_mining import bitext_mining


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def margins(x, y, k, kind="ratio"):
    """The greatest margin of each sentence among its k nearest, and with which, by direction."""
    table = [[cosine(a, b) for b in y] for a in x]
    turned = [list(column) for column in zip(*table, strict=True)]
    near_x, near_y = ([sorted(range(len(row)), key=lambda j, r=row: -r[j])[:k] for row in t] for t in (table, turned))
    mean_x = [sum(row[j] for j in near) / len(near) for row, near in zip(table, near_x, strict=True)]
    mean_y = [sum(row[i] for i in near) / len(near) for row, near in zip(turned, near_y, strict=True)]

    def margin(i, j):
        about = (mean_x[i] + mean_y[j]) / 2
        return {"ratio": table[i][j] / about, "distance": table[i][j] - about, "none": table[i][j]}[kind]

    forward = [max((margin(i, j), j) for j in near_x[i]) for i in range(len(x))]
    backward = [max((margin(i, j), i) for i in near_y[j]) for j in range(len(y))]
    return forward, backward


def mined(x, y, k, kind="ratio"):
    """Proposals from the best down, each sentence once."""
    forward, backward = margins(x, y, k, kind)
    proposals = [(m, i, j) for i, (m, j) in enumerate(forward)] + [(m, i, j) for j, (m, i) in enumerate(backward)]
    taken, kept = set(), []
    for m, i, j in sorted(proposals, reverse=True):
        if ("x", i) not in taken and ("y", j) not in taken:
            taken |= {("x", i), ("y", j)}
            kept.append((m, i, j))
    return kept


def f1(kept, gold, threshold):
    said = {(i, j) for m, i, j in kept if m >= threshold}
    return 2 * len(said & gold) / (len(said) + len(gold))


def world(seed, n=40, noise=0.9, alone=12):
    """Pairs of noisy copies around a common direction, hubs included, and sentences without a partner on both sides."""
    random = np.random.default_rng(seed)
    meaning = random.normal(size=(n, 16)) + 1
    x = np.concatenate([meaning + noise * random.normal(size=meaning.shape), random.normal(size=(alone, 16)) + 1])
    order = random.permutation(n + alone)
    y = np.concatenate([meaning + noise * random.normal(size=meaning.shape), random.normal(size=(alone, 16)) + 1])
    gold = [[i, int(np.flatnonzero(order == i)[0])] for i in range(n)]
    return x, y[order], gold


def test_equals_loops():
    x, y, gold = world(0)
    dev_x, dev_y, dev_gold = world(1)
    found = bitext_mining(x, y, gold, dev=(dev_x, dev_y, dev_gold), k=4)
    figures, pairs = found.figures(), {(i, j) for i, j in gold}
    forward, backward = margins(x, y, 4)
    assert figures["accuracy_forward"] == pytest.approx(np.mean([forward[i][1] == j for i, j in gold]))
    assert figures["accuracy_backward"] == pytest.approx(np.mean([backward[j][1] == i for i, j in gold]))
    assert figures["accuracy"] == pytest.approx((figures["accuracy_forward"] + figures["accuracy_backward"]) / 2)
    dev_kept, dev_pairs = mined(dev_x, dev_y, 4), {(i, j) for i, j in dev_gold}
    best = max(f1(dev_kept, dev_pairs, m) for m, _, _ in dev_kept)
    assert f1(dev_kept, dev_pairs, found.facts["threshold"]) == pytest.approx(best)
    assert figures["f1"] == pytest.approx(f1(mined(x, y, 4), pairs, found.facts["threshold"]))
    assert 0.3 < figures["f1"] < 1
    # the wrong variants: the difference instead of the ratio, other neighbours, a threshold chosen on the measured pairs
    assert figures["f1"] != pytest.approx(f1(mined(x, y, 4, "distance"), pairs, found.facts["threshold"]))
    plain, _ = margins(x, y, 4, "none")
    assert figures["accuracy_forward"] != pytest.approx(np.mean([plain[i][1] == j for i, j in gold]))
    assert max(f1(mined(x, y, 4), pairs, m) for m, _, _ in mined(x, y, 4)) > figures["f1"]


def test_precision_and_recall_make_f1_also_over_resamples():
    x, y, gold = world(2)
    found = bitext_mining(x, y, gold, dev=world(3))
    rows = np.random.default_rng(0).integers(0, len(found), size=len(found))
    for some in (slice(None), rows):
        p, r = found.figure("precision", some), found.figure("recall", some)
        assert found.figure("f1", some) == pytest.approx(2 * p * r / (p + r))
    assert found.figure(rows=rows) != found.figure()
    assert found.main == "f1"
    assert bitext_mining(x, y, gold).main == "accuracy"
    assert "mined" not in bitext_mining(x, y, gold).columns


def test_known_answers():
    x = np.eye(6) + 0.1
    order = [3, 1, 0, 5, 4, 2]
    gold = [[i, order.index(i)] for i in range(6)]
    perfect = bitext_mining(x, x[order], gold, dev=(x, x[order], gold)).figures()
    assert set(perfect.values()) == {1.0}
    wrong = [[i, (j + 1) % 6] for i, j in gold]
    assert set(bitext_mining(x, x[order], wrong, dev=(x, x[order], gold)).figures().values()) == {0.0}
    # of two partners either will do, and each pair counts
    twice = bitext_mining(x, x[[*order, 3]], [*gold, [3, 6]])
    assert twice.figures()["accuracy_backward"] == 1
    assert twice.columns["pairs"].tolist() == [1, 1, 1, 2, 1, 1]


def test_means_below_zero_do_not_turn_the_order_round():
    x = np.array([[1.0, 0.0], [-1.0, 0.1]])
    found = bitext_mining(x, x, [[0, 0], [1, 1]], k=2)
    assert found.figure() == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"pairs": [[0, 9]]}, DataError, r"pair 0 is \[0, 9\]"),
        ({"pairs": [[-1, 0]]}, DataError, "pair 0"),
        ({"pairs": np.empty((0, 2), int)}, DataError, "no pairs"),
        ({"pairs": [0, 1]}, UsageError, r"\[p 2\]"),
        ({"pairs": [[0.0, 1.0]]}, UsageError, "float64"),
        ({"target": np.ones((3, 5))}, UsageError, "5 dimensions"),
        ({"source": np.full((3, 3), np.nan)}, DataError, "source"),
        ({"k": 0}, UsageError, "0 neighbours"),
        ({"dev": (np.eye(3), np.eye(3), [[0, 7]])}, DataError, "dev pairs"),
    ],
)
def test_errors(change, error, message):
    given = {"source": np.eye(3), "target": np.eye(3), "pairs": [[0, 0]]} | change
    with pytest.raises(error, match=message):
        bitext_mining(given.pop("source"), given.pop("target"), given.pop("pairs"), **given)
