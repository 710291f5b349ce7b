"""Ranks, thresholds, classes and clusters: equal to scipy, scikit-learn and plain counting, ties and rare cases included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from nearfar.maths import class_metrics, cluster_metrics, rank_correlation
from nearfar.maths import threshold_metrics as at

CASES = range(20)


def tied(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and labels that have to do with them."""
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=n), 1 if seed % 2 else 3)
    return scores, (scores + random.normal(size=n) > 0.5).astype(np.int64)


@pytest.mark.parametrize("seed", CASES)
def test_correlations_equal_scipy(seed: int):
    x, label = tied(seed)
    y = label + np.round(np.random.default_rng(seed).normal(size=len(x)), 1)
    assert np.array_equal(rank_correlation.average_ranks(x), stats.rankdata(x))
    assert rank_correlation.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert rank_correlation.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    # Wrong: ties in the order of rows; one correlation for the other.
    ordinal = x.argsort(kind="stable").argsort() + 1
    assert not np.array_equal(ordinal, stats.rankdata(x)) or len(np.unique(x)) == len(x)
    assert rank_correlation.pearson(x, y) != pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-4)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_correlation_of_any_scale_and_of_a_constant(scale: float):
    x, y = np.array([1.0, 2.0, 4.0]) * scale, np.array([1.0, 3.0, 2.0])
    assert rank_correlation.pearson(x, y) == pytest.approx(stats.pearsonr(x / scale, y).statistic)
    assert rank_correlation.pearson(np.full(3, scale), y) == rank_correlation.spearman(y, np.full(3, scale)) == 0


@pytest.mark.parametrize("seed", CASES)
def test_areas_equal_scikit_learn(seed: int):
    scores, label = tied(seed)
    assert at.average_precision(scores, label) == pytest.approx(sk.average_precision_score(label, scores))
    assert at.auroc(scores, label) == pytest.approx(sk.roc_auc_score(label, scores))
    false, true, _ = sk.roc_curve(label, scores, drop_intermediate=False)
    for rate in (0.5, 0.95, 1.0):
        assert at.fpr_at_tpr(scores, label, rate) == pytest.approx(false[np.argmax(true >= rate)])
    # Wrong: positives and negatives exchanged; scores of the wrong sign.
    assert at.average_precision(-scores, 1 - label) != pytest.approx(sk.average_precision_score(label, scores))
    assert at.auroc(-scores, label) != pytest.approx(sk.roc_auc_score(label, scores))


def test_ties_gain_nothing_in_average_precision():
    scores, label = np.zeros(8), np.array([1, 1, 0, 0, 0, 0, 0, 0])
    assert at.average_precision(scores, label) == 0.25
    in_own_favour = np.mean([1 / 1, 2 / 2])
    assert at.average_precision(scores, label) != in_own_favour


def test_one_class_is_what_chance_gives():
    scores = np.array([0.1, 0.5, 0.3])
    for label, share in ((np.zeros(3, int), 0), (np.ones(3, int), 1)):
        assert (at.average_precision(scores, label), at.auroc(scores, label)) == (share, 0.5)
        assert at.fpr_at_tpr(scores, label) == 0.95


def test_best_thresholds_equal_a_search_over_all():
    worse = 0
    for seed in CASES:
        scores, label = tied(seed, n=25)
        tries = [*np.unique(scores), scores.max() + 1]
        accuracy = max(((scores >= t) == label).mean() for t in tries)
        f1 = max(2 * (label[scores >= t]).sum() / ((scores >= t).sum() + label.sum()) for t in tries)
        called = scores >= at.best_f1_threshold(scores, label)
        assert ((scores >= at.best_accuracy_threshold(scores, label)) == label).mean() == accuracy
        assert sk.f1_score(label, called) == pytest.approx(f1)
        # The known-bad variant: a threshold that knows the scores only.
        worse += ((scores >= np.median(scores)) == label).mean() < accuracy
    assert worse > 15


def test_thresholds_at_the_edges():
    """Nothing selected, everything selected, and neighbours between which no number lies."""
    down = np.array([0.3, 0.2, 0.1])
    assert (down >= at.best_accuracy_threshold(down, np.array([0, 0, 1]))).sum() == 0
    assert (down >= at.best_f1_threshold(down, np.array([0, 0, 1]))).sum() == 3
    close = np.array([1.0, np.nextafter(1.0, 2.0)])
    assert (close >= at.best_accuracy_threshold(close, np.array([0, 1]))).tolist() == [False, True]


@pytest.mark.parametrize("seed", CASES)
def test_class_metrics_equal_scikit_learn(seed: int):
    random = np.random.default_rng(seed)
    label, predicted = random.choice(5, size=40, p=[0.6, 0.2, 0.1, 0.1, 0]), random.integers(0, 6, size=40)
    predicted = np.where(random.random(40) < 0.5, label, predicted)
    right = predicted == label
    assert class_metrics.balanced_accuracy(label, right) == pytest.approx(
        np.mean([right[label == c].mean() for c in np.unique(label)])
    )
    assert class_metrics.macro_f1(label, predicted) == pytest.approx(
        sk.f1_score(label, predicted, average="macro", zero_division=0)
    )
    assert class_metrics.balanced_accuracy(label, right) != pytest.approx(right.mean())
    assert class_metrics.macro_f1(label, predicted) != pytest.approx(sk.f1_score(label, predicted, average="weighted"))


def test_fair_accuracy_is_the_mean_over_all_ways_to_break_ties():
    random = np.random.default_rng(0)
    scores, label = random.integers(0, 3, size=(50, 4)), random.integers(0, 4, size=50)
    by_lot = np.mean(
        [(scores + 1e-3 * random.random(scores.shape)).argmax(1) == label for _ in range(4000)], axis=0, dtype=float
    )
    assert class_metrics.fair_accuracy(scores, label) == pytest.approx(by_lot, abs=0.05)
    assert np.abs((scores.argmax(1) == label) - by_lot).max() > 0.4


@pytest.mark.parametrize("seed", CASES)
def test_cluster_metrics_equal_scikit_learn(seed: int):
    random = np.random.default_rng(seed)
    label, cluster = random.integers(0, 4, size=50), random.integers(0, 1 + seed % 6, size=50)
    cluster = np.where(random.random(50) < 0.5, label, cluster)
    found = cluster_metrics.agreement(label, cluster)
    assert found.nmi == pytest.approx(sk.normalized_mutual_info_score(label, cluster))
    assert (found.homogeneity, found.completeness, found.nmi) == pytest.approx(
        sk.homogeneity_completeness_v_measure(label, cluster)
    )
    assert found.ari == pytest.approx(sk.adjusted_rand_score(label, cluster))
    table = sk.cluster.contingency_matrix(label, cluster)
    assert found.purity == pytest.approx(table.max(0).sum() / 50)
    # Wrong: the other normalisation, no correction for chance, the margins exchanged.
    assert found.nmi != pytest.approx(sk.normalized_mutual_info_score(label, cluster, average_method="min"), abs=1e-6)
    assert found.ari != pytest.approx(sk.rand_score(label, cluster), abs=1e-3)
    assert found.homogeneity != pytest.approx(sk.completeness_score(label, cluster), abs=1e-6)


@pytest.mark.parametrize(
    ("label", "cluster"), [([0, 0, 0], [0, 0, 0]), ([0, 0, 0], [0, 1, 2]), ([0, 1, 2], [0, 0, 0]), ([0], [0])]
)
def test_cluster_metrics_of_a_single_class_or_cluster(label: list[int], cluster: list[int]):
    found = cluster_metrics.agreement(np.array(label), np.array(cluster))
    assert found.nmi == pytest.approx(sk.normalized_mutual_info_score(label, cluster), abs=1e-12)
    assert found.ari == pytest.approx(sk.adjusted_rand_score(label, cluster), abs=1e-12)
    assert found.homogeneity == pytest.approx(sk.homogeneity_score(label, cluster), abs=1e-12)
