"""Class collapse and feature suppression on vectors in which they are there by construction."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.class_collapse import class_collapse
from nearfar.probes.feature_suppression import feature_suppression
from nearfar.probes.shared.linear_classifier import predictions
from nearfar.probes.shared.standardise import standardiser


def classed(seed, spread, n=400, d=6):
    """Two superclasses of three and two subclasses; `spread` is how far subclasses lie apart."""
    generator = np.random.default_rng(seed)
    fine = generator.choice(5, n, p=[0.3, 0.1, 0.1, 0.3, 0.2])
    coarse = (fine > 2).astype(int)
    x = np.zeros((n, d))
    x[:, 0] = 10 * coarse
    x[np.arange(n), 1 + fine] += spread
    return x + generator.normal(size=(n, d)), coarse, fine


def outcome(spread):
    train, test = classed(0, spread), classed(1, spread)
    return class_collapse(*train, *test), train, test


def test_a_collapsed_model_is_told_from_one_that_is_not():
    (collapsed, _, _), (open_, _, test) = outcome(0.0), outcome(8.0)
    assert open_.figure() > 0.98
    assert collapsed.figure() < collapsed.figure("majority") + 0.05
    assert collapsed.figure("majority") == pytest.approx(0.6, abs=0.06)
    assert open_.figure("between_share") > 0.7
    assert collapsed.figure("between_share") == pytest.approx(collapsed.facts["chance_of_between_share"], abs=0.01)
    # over both superclasses together the majority would be 0.3
    assert np.bincount(test[2]).max() / 400 < 0.4


def test_between_share_equals_loops():
    found, _, (x, coarse, fine) = outcome(2.0)
    top, bottom = 0.0, 0.0
    for i in range(len(x)):
        broad, narrow = x[coarse == coarse[i]].mean(0), x[fine == fine[i]].mean(0)
        top, bottom = top + ((narrow - broad) ** 2).sum(), bottom + ((x[i] - broad) ** 2).sum()
    assert found.figure("between_share") == pytest.approx(top / bottom, rel=1e-5)
    assert top / ((x - x.mean(0)) ** 2).sum() < 0.5 * top / bottom, "not against the spread of all"


def test_vectors_that_are_all_equal():
    _, coarse, fine = classed(0, 1.0)
    found = class_collapse(torch.full((400, 3), 0.1), coarse, fine, torch.full((400, 3), 0.1), coarse, fine)
    assert found.figure() == found.figure("majority")
    assert found.figure("between_share") == 0


def test_superclasses_with_one_subclass_are_not_measured():
    x = torch.randn(12, 2)
    coarse, fine = [*"aaaabbbbcccc"], [*"ppqqrrrrsstt"]
    found = class_collapse(x, coarse, fine, x, coarse, fine)
    assert len(found) == 8
    assert found.facts["not_measured"] == 4


def test_the_classifier_is_that_of_scikit_learn():
    x, _, y = classed(0, 1.5)
    test = classed(1, 1.5)[0]
    scaled = [(t - x.mean(0)) / x.std(0) for t in (x, test)]
    want = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(scaled[0], y).predict(scaled[1])
    found = predictions(torch.from_numpy(x), y, torch.from_numpy(test))
    assert (found == want).mean() > 0.995
    other = LogisticRegression(C=1e-3).fit(scaled[0], y).predict(scaled[1])
    assert (other == want).mean() < 0.97


def test_columns_that_differ_by_rounding_only_are_left_out_where_that_is_asked():
    train = np.array([[1.0, 1.0], [3.0, 1.0 + 1e-9]])
    assert standardiser(train, least=1e-6)(train).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert standardiser(train)(train)[:, 1].abs().min() > 0.9, "known bad: blown up to variance one"


def test_suppression():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    hard = np.eye(4)[labels] * 6
    easy = generator.normal(size=(300, 4)) * 3
    kept, lost = hard + generator.normal(size=(300, 4)), easy
    found = feature_suppression((lost[:200], lost[200:]), (kept[:200], kept[200:]), labels[:200], labels[200:])
    assert found.figure("without_easy") > 0.95
    assert found.figure("with_easy") < 0.45
    assert found.figure() == pytest.approx(found.figure("without_easy") - found.figure("with_easy"))
    none = feature_suppression((kept[:200], kept[200:]), (kept[:200], kept[200:]), labels[:200], labels[200:])
    assert none.figure() == 0
    swapped = feature_suppression((kept[:200], kept[200:]), (lost[:200], lost[200:]), labels[:200], labels[200:])
    assert swapped.figure() == -found.figure() != 0


def test_errors():
    x, coarse, fine = classed(0, 1.0, n=40)
    with pytest.raises(UsageError, match="beside 40 records"):
        class_collapse(x, coarse[:3], fine, x, coarse, fine)
    with pytest.raises(DataError, match="cannot be classes like"):
        class_collapse(x, [*"ab"] * 20, fine, x, coarse, fine)
    with pytest.raises(DataError, match="two superclasses"):
        class_collapse(x, np.arange(40) % 2, np.zeros(40), x, coarse, np.zeros(40))
    with pytest.raises(DataError, match="no superclass"):
        class_collapse(x, fine, fine, x, fine, fine)
    with pytest.raises(UsageError, match="dimensions"):
        class_collapse(x, coarse, fine, x[:, :2], coarse, fine)
    with pytest.raises(DataError, match="one class"):
        feature_suppression((x, x), (x, x), np.zeros(40), fine)
    with pytest.raises(UsageError, match="beside 30 records"):
        feature_suppression((x, x), (x, x[:30]), fine, fine)
