"""Planted clusters are found and counted, the silhouette is scikit-learn's, and words are the ones that were planted."""

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from nearfar.core.errors import UsageError
from nearfar.maths.cluster_metrics import agreement
from nearfar.search.cluster import PRIOR, cluster_words, clusters, silhouette


def planted(k=5, each=60, d=24, noise=0.12, seed=0):
    """Rows in a random order, and the cluster of each; clusters have different sizes."""
    draws = np.random.default_rng(seed)
    label = np.repeat(np.arange(k), each + 10 * np.arange(k))
    draws.shuffle(label)
    centres = draws.standard_normal((k, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = centres[label] + noise * draws.standard_normal((len(label), d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), label


@pytest.mark.parametrize("k", [3, 5, 8])
def test_planted_clusters_are_found_and_so_is_their_number(k):
    vectors, label = planted(k)
    found = clusters(vectors)
    assert len(found.centres) == k
    assert agreement(label, found.cluster).ari > 0.99
    assert found.silhouette == max(found.tried.values())
    assert found.sizes() == sorted(found.sizes(), reverse=True)
    wrong = clusters(vectors, k - 1)  # known bad
    assert agreement(label, wrong.cluster).ari < 0.99
    assert wrong.silhouette < found.silhouette


def test_the_same_seed_gives_the_same_and_the_nearest_rows_are_nearest():
    vectors, _ = planted()
    found, again = clusters(vectors, 4, seed=3), clusters(vectors, 4, seed=3)
    assert (found.cluster == again.cluster).all()
    scores = vectors @ found.centres.T
    assert (scores.argmax(1) == found.cluster).all()
    inside = np.flatnonzero(found.cluster == 2)
    assert set(found.nearest(2, 3)) == set(inside[np.argsort(-scores[inside, 2])[:3]])
    assert scores[found.nearest(2, 3), 2].min() > np.median(scores[inside, 2])


def test_more_rows_than_the_sample_are_all_clustered(monkeypatch):
    monkeypatch.setattr("nearfar.search.cluster.LEAST_SAMPLE", 100)
    monkeypatch.setattr("nearfar.search.cluster.SAMPLE", 10)
    monkeypatch.setattr("nearfar.search.cluster.BLOCK", 64)
    vectors, label = planted(3, each=200)
    assert agreement(label, clusters(vectors, 3).cluster).ari > 0.99


def test_silhouette_is_the_one_of_scikit_learn():
    vectors, label = planted(4, each=15, noise=0.4)
    label[:1] = 9  # a row alone
    ours = silhouette(vectors, label)
    assert ours == pytest.approx(silhouette_score(vectors, label, metric="cosine"), abs=1e-6)
    assert ours != pytest.approx(silhouette_score(vectors, label, metric="euclidean"), abs=1e-3)  # known bad
    assert silhouette(vectors, np.zeros(len(vectors), dtype=np.int64)) == 0.0


def test_edges_of_sizes():
    one = np.eye(1, 3, dtype=np.float32)
    assert clusters(one).cluster.tolist() == [0]
    assert clusters(np.tile(one, (20, 1))).sizes() == [20], "clusters that no row is nearest to are left out"
    assert clusters(np.eye(3, dtype=np.float32), 3).sizes() == [1, 1, 1]
    for rows, count in ((one, 2), (one, 0), (np.empty((0, 3), dtype=np.float32), None)):
        with pytest.raises(UsageError):
            clusters(rows, count)


COMMON = "the and of to in"


def texts_of(label, seed=0):
    """Two words of the cluster in each text, five that are everywhere, one number, and one that is rare."""
    draws = np.random.default_rng(seed)
    own = [("cat", "fur"), ("bread", "oven"), ("goal", "ball")]
    return [
        f"{COMMON} {' '.join(own[k])} 7 {'zyx' if i == 0 else ''} {draws.choice(COMMON.split())}."
        for i, k in enumerate(label)
    ]


def test_words_are_those_that_were_planted_and_no_stop_words():
    label = np.random.default_rng(1).integers(0, 3, 90)
    found = cluster_words(texts_of(label), label, 5)
    assert [sorted(word for word, _ in words) for words in found] == [
        ["cat", "fur"],
        ["bread", "oven"],
        ["ball", "goal"],
    ]
    assert all(z > 2 for words in found for _, z in words)
    mixed = np.random.default_rng(2).integers(0, 3, 90)  # known bad: clusters that have nothing to do with the words
    assert all(z < 2.5 for words in cluster_words(texts_of(label), mixed, 5) for _, z in words)


def test_log_odds_are_those_of_the_formula():
    label = np.array([0] * 6 + [1] * 4)
    texts = ["red dot"] * 5 + ["blue dot"] + ["blue dot"] * 3 + ["red dot"]
    (word, z), *_ = cluster_words(texts, label)[0]
    p, others = PRIOR * 6 / 20, 20 - 12
    odds = math.log((5 + p) / (12 + PRIOR - 5 - p)) - math.log((1 + p) / (others + PRIOR - 1 - p))
    assert word == "red"
    assert z == pytest.approx(odds / math.sqrt(1 / (5 + p) + 1 / (1 + p)))
    assert cluster_words([], np.empty(0, dtype=np.int64)) == []
    assert cluster_words(["one", "one"], np.array([0, 0])) == [[]], "nothing sets everything apart"
