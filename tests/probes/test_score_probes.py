"""Probes of scores (sts, pair classification, anomaly) and of values (regression): references, chance, and nothing chosen on test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.anomaly import anomaly
from nearfar.probes.pair_classification import pair_classification
from nearfar.probes.regression import regression
from nearfar.probes.shared.strength import folds
from nearfar.probes.sts import sts

RANDOM = np.random.default_rng(0)
GOLD = np.round(RANDOM.uniform(0, 5, size=80), 1)
SCORES = np.tanh(GOLD / 3 + 0.4 * RANDOM.normal(size=80))
LABELS = (GOLD + RANDOM.normal(size=80) > 2.5).astype(int)


@pytest.fixture(autouse=True)
def _own_chance():
    """Each test draws the same, whichever ran before."""
    globals()["RANDOM"] = np.random.default_rng(1)


def cosines(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y))) for x, y in zip(a, b, strict=True)]


def test_sts_equals_scipy_for_scores_and_for_vectors():
    assert sts(SCORES, GOLD).figures() == pytest.approx(
        {"spearman": stats.spearmanr(SCORES, GOLD).statistic, "pearson": stats.pearsonr(SCORES, GOLD).statistic}
    )
    a, b = RANDOM.normal(size=(80, 5)), RANDOM.normal(size=(80, 5))
    found = sts((torch.from_numpy(a), b), GOLD)
    assert found.columns["score"].tolist() == pytest.approx(cosines(a, b))
    assert found.columns["score"].tolist() != pytest.approx((a * b).sum(1).tolist())
    assert found.figure() == pytest.approx(stats.spearmanr(cosines(a, b), GOLD).statistic)


def test_sts_on_a_resample_is_ranked_anew():
    rows = np.random.default_rng(1).integers(0, 80, size=80)
    expected = stats.spearmanr(SCORES[rows], GOLD[rows]).statistic
    found = sts(SCORES, GOLD)
    assert found.figure("spearman", rows) == pytest.approx(expected)
    stale = stats.pearsonr(found.columns["rank"][rows], GOLD[rows]).statistic
    assert stale != pytest.approx(expected, abs=1e-6)
    assert found.figure("pearson", rows) == pytest.approx(stats.pearsonr(SCORES[rows], GOLD[rows]).statistic)


def test_what_a_paired_test_exchanges_does_not_depend_on_the_scale_of_scores():
    one, other = sts(SCORES, GOLD), sts(1e3 * SCORES - 7, GOLD)
    for column in {*one.swapped} - {"score"}:  # which no metric reads
        assert one.columns[column] == pytest.approx(other.columns[column], abs=1e-9)
    assert one.columns["score"] != pytest.approx(other.columns["score"], abs=1e-9)
    assert {"score", "rank", "standard"} == set(one.swapped)


def test_sts_of_a_collapsed_and_of_a_perfect_model():
    assert sts((np.ones((80, 3)), np.ones((80, 3))), GOLD).figures() == {"spearman": 0, "pearson": 0}
    assert sts(GOLD * 2 - 1, GOLD).figures() == pytest.approx({"spearman": 1, "pearson": 1})
    assert abs(sts(RANDOM.normal(size=4000), RANDOM.normal(size=4000)).figure()) < 0.06


def test_pair_classification_equals_scikit_learn():
    found = pair_classification(SCORES, LABELS == 1).figures()
    assert found == pytest.approx(
        {"ap": sk.average_precision_score(LABELS, SCORES), "auroc": sk.roc_auc_score(LABELS, SCORES)}
    )
    assert found["ap"] != pytest.approx(sk.average_precision_score(LABELS, -SCORES))


def test_thresholds_come_from_dev_alone():
    dev, test = slice(0, 40), slice(40, 80)
    found = pair_classification(SCORES[test], LABELS[test], dev=(SCORES[dev], LABELS[dev]))
    figures, facts = found.figures(), found.facts
    cut = {name: SCORES[test] >= facts[f"{name}_threshold"] for name in ("accuracy", "f1")}
    assert figures["accuracy"] == pytest.approx((cut["accuracy"] == LABELS[test]).mean())
    assert figures["f1"] == pytest.approx(sk.f1_score(LABELS[test], cut["f1"]))
    best_of_all = max(((SCORES[dev] >= t) == LABELS[dev]).mean() for t in SCORES[dev])
    assert ((SCORES[dev] >= facts["accuracy_threshold"]) == LABELS[dev]).mean() >= best_of_all
    for _ in range(5):
        shuffled = pair_classification(SCORES[test], RANDOM.permutation(LABELS[test]), dev=(SCORES[dev], LABELS[dev]))
        assert shuffled.facts == facts
        assert shuffled.columns["predicted"].tolist() == found.columns["predicted"].tolist()
    # The known-bad variant: a threshold that is best on the test pairs flatters.
    assert max(((SCORES[test] >= t) == LABELS[test]).mean() for t in SCORES[test]) > figures["accuracy"]


def test_without_dev_there_is_no_accuracy_and_dev_moves_it():
    assert set(pair_classification(SCORES, LABELS).figures()) == {"ap", "auroc"}
    one, other = (pair_classification(SCORES, LABELS, dev=(SCORES + shift, LABELS)) for shift in (0, 5))
    assert one.figure("accuracy") > other.figure("accuracy")
    assert one.figure("ap") == other.figure("ap")


def test_pair_classification_at_chance_and_perfect():
    same = np.ones((80, 4), dtype=np.float32)
    assert pair_classification((same, same), LABELS).figures() == pytest.approx({"ap": LABELS.mean(), "auroc": 0.5})
    perfect = pair_classification(LABELS / 2, LABELS, dev=([0.5, 0.0], [1, 0]))
    assert set(perfect.figures().values()) == {1.0}


def test_anomaly_equals_scikit_learn_and_a_loop():
    found = anomaly(SCORES, LABELS)
    false, true, _ = sk.roc_curve(LABELS, SCORES, drop_intermediate=False)
    assert found.figures() == pytest.approx(
        {
            "auroc": sk.roc_auc_score(LABELS, SCORES),
            "ap": sk.average_precision_score(LABELS, SCORES),
            "fpr95": false[np.argmax(true >= 0.95)],
        }
    )
    assert found.figure("fpr95") != pytest.approx(1 - true[np.argmax(false >= 0.05)])  # the other class as positive
    x, normal = RANDOM.normal(size=(80, 4)), RANDOM.normal(size=(30, 4))
    for k in (1, 3):
        distance = [sorted(1 - c for c in cosines(np.tile(one, (30, 1)), normal))[k - 1] for one in x]
        found = anomaly(x, LABELS, normal=torch.from_numpy(normal), k=k)
        assert found.columns["score"].tolist() == pytest.approx(distance, abs=1e-6)
        assert found.columns["score"].tolist() != pytest.approx(np.negative(distance), abs=1e-2)


def test_anomaly_at_chance_and_perfect():
    normal = np.eye(4)[[0, 0, 1]]
    assert anomaly(np.eye(4)[[0, 1, 2, 3]], [0, 0, 1, 1], normal=normal).figures() == {"auroc": 1, "ap": 1, "fpr95": 0}
    collapsed = anomaly(np.ones((80, 4)), LABELS, normal=np.ones((5, 4)))
    assert collapsed.figures() == pytest.approx({"auroc": 0.5, "ap": LABELS.mean(), "fpr95": 1.0})
    assert not collapsed.is_better_higher("fpr95")


def linear_data(n: int = 60, d: int = 8) -> tuple[np.ndarray, np.ndarray]:
    x = RANDOM.normal(size=(n, d)) * np.arange(1, d + 1) + 5
    return x, x @ np.linspace(-1, 1, d) + 3 * RANDOM.normal(size=n) + 100


def test_regression_equals_ridge_of_scikit_learn():
    (x, y), (other, target) = linear_data(), linear_data(25)
    for strength in (0.01, 0.5):
        model = make_pipeline(StandardScaler(), Ridge(alpha=strength * len(x))).fit(x, y)
        found = regression(other, target, train=(x, y), strengths=[strength])
        predicted = model.predict(other)
        assert found.columns["predicted"] == pytest.approx(predicted, abs=1e-3)
        assert found.figures() == pytest.approx(
            {
                "r2": sk.r2_score(target, predicted),
                "mae": sk.mean_absolute_error(target, predicted),
                "spearman": stats.spearmanr(target, predicted).statistic,
            },
            abs=1e-4,
        )
        raw = Ridge(alpha=strength * len(x)).fit(x, y).predict(other)  # the known-bad variant: not standardised
        assert found.columns["predicted"] != pytest.approx(raw, abs=1e-3)


@pytest.mark.parametrize("with_dev", [True, False])
def test_the_strength_of_a_regression_is_chosen_without_the_test_values(with_dev: bool):
    strengths = [0.001, 0.1, 1.0, 10.0]
    (x, y), (other, target), (held, truth) = linear_data(40, 20), linear_data(30, 20), linear_data(30, 20)
    dev = (held, truth) if with_dev else None
    found = regression(other, target, train=(x, y), dev=dev, strengths=strengths)
    errors = []
    for strength in strengths:
        if with_dev:
            predicted = regression(held, truth, train=(x, y), strengths=[strength]).columns["predicted"]
        else:
            fold = folds(np.zeros(40, dtype=np.int64))
            split = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(5)]
            models = [make_pipeline(StandardScaler(), Ridge(alpha=strength * len(a))) for a, _ in split]
            predicted = np.empty(40)
            for model, (fitted, left) in zip(models, split, strict=True):
                predicted[left] = model.fit(x[fitted], y[fitted]).predict(x[left])
        errors.append(((predicted - (truth if with_dev else y)) ** 2).mean())
    assert found.facts["strength"] == strengths[int(np.argmin(errors))]
    assert found.facts["chosen_on"] == ("dev" if with_dev else "5 folds")
    # Other test values, and other test records beside, change neither the choice nor a prediction.
    again = regression(other[:9], RANDOM.permutation(target)[:9], train=(x, y), dev=dev, strengths=strengths)
    assert again.facts["strength"] == found.facts["strength"]
    assert again.columns["predicted"] == pytest.approx(found.columns["predicted"][:9])
    # The known-bad variant: what is best on the test records moves with their values.
    best = set()
    for _ in range(8):
        values = RANDOM.permutation(target)
        r2 = [regression(other, values, train=(x, y), strengths=[s]).figure() for s in strengths]
        best.add(strengths[int(np.argmax(r2))])
    assert best != {found.facts["strength"]}


def test_regression_at_chance_and_perfect():
    x, y = linear_data(200)
    noise = regression(x[:100], RANDOM.permutation(y[:100]), train=(x[100:], RANDOM.permutation(y[100:])))
    assert noise.figure("r2") < 0.1
    assert abs(noise.figure("spearman")) < 0.35
    collapsed = regression(np.ones((100, 3)), y[:100], train=(np.ones((100, 3)), y[100:]))
    assert collapsed.figure("r2") <= 0
    assert collapsed.figure("spearman") == 0
    exact = regression(x[:100], x[:100] @ np.ones(8), train=(x[100:], x[100:] @ np.ones(8)))
    assert exact.figures() == pytest.approx({"r2": 1, "mae": 0, "spearman": 1}, abs=1e-2)
    assert exact.figure("mae") < 0.1 < noise.figure("mae")


def test_folds_are_stratified_and_the_same_each_time():
    groups = np.repeat([0, 1, 2], [50, 11, 3])
    made = folds(groups)
    for group, size in ((0, 50), (1, 11), (2, 3)):
        count = np.bincount(made[groups == group], minlength=5)
        assert count.sum() == size
        assert np.ptp(count) <= 1
    assert made.tolist() == folds(groups).tolist()
    assert made.tolist() != (np.arange(64) % 5).tolist()


GOOD = np.arange(6.0)
BAD = np.array([0, 1, np.nan, 3, 4, 5])
X = RANDOM.normal(size=(6, 2))
BINARY = [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sts(BAD, GOOD), DataError, "NaN or infinite, the first in row 2.*scores"),
        (lambda: sts(GOOD, BAD), DataError, "row 2.*gold"),
        (lambda: sts(GOOD[:5], GOOD), UsageError, "6 of them stand beside 5"),
        (lambda: sts(GOOD, np.ones(6)), DataError, "all 6 values are 1"),
        (lambda: sts(GOOD[:2], GOOD[:2]), DataError, "2 pairs"),
        (lambda: sts((X, X[:4]), GOOD), UsageError, "4 vectors stand beside 6"),
        (lambda: sts((X, X[:, :1]), GOOD), UsageError, "1 dimensions stand beside others of 2"),
        (lambda: sts(["a"] * 6, GOOD), DataError, "not one of numbers"),
        (lambda: pair_classification(GOOD, [1] * 6), DataError, "all 6 labels are 1"),
        (lambda: pair_classification(GOOD, [0, 1, 2, 1, 0, 1]), DataError, "label 2 is 2"),
        (lambda: pair_classification(GOOD, BINARY, dev=(GOOD, [0] * 6)), DataError, r"all 6 labels are 0.*dev\[1\]"),
        (lambda: pair_classification(GOOD, BINARY, dev=(BAD, BINARY)), DataError, r"row 2.*dev\[0\]"),
        (lambda: pair_classification([], []), UsageError, "not one value a record"),
        (lambda: anomaly(GOOD, [0] * 6), DataError, "all 6 labels are 0"),
        (lambda: anomaly(X, BINARY), UsageError, "not one value a record"),
        (lambda: anomaly(X, BINARY, normal=X[:3], k=4), UsageError, "4 neighbours, where 1 to 3"),
        (lambda: anomaly(X, BINARY, normal=X[:, :1]), UsageError, "1 dimensions"),
        (lambda: regression(X, np.ones(6), train=(X, GOOD)), DataError, "all 6 values are 1.*values"),
        (lambda: regression(X, GOOD, train=(X, np.ones(6))), DataError, r"train\[1\]"),
        (lambda: regression(X, GOOD, train=(X[:5], GOOD)), UsageError, "6 of them stand beside 5"),
        (lambda: regression(X * np.inf, GOOD, train=(X, GOOD)), DataError, "NaN or infinite"),
        (lambda: regression(X, GOOD, train=(X, GOOD), strengths=[]), UsageError, "strengths"),
        (lambda: regression(X, GOOD, train=(X, GOOD), strengths=[0.0]), UsageError, "above zero"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
