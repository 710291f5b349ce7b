"""Tolerance against loops over pairs, and known answers."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.tolerance import tolerance


def test_equals_loops():
    x = torch.randn(12, 5, dtype=torch.float64)
    labels = ["a", "b", "a", "c", "b", "a", "a", "d", "c", "b", "a", "c"]
    unit = (x / x.norm(dim=1, keepdim=True)).tolist()
    same, apart, own = [], [], {}
    for i in range(12):
        for j in range(12):
            if i != j:
                s = sum(v * w for v, w in zip(unit[i], unit[j], strict=True))
                (same if labels[i] == labels[j] else apart).append(s)
                if labels[i] == labels[j]:
                    own.setdefault(i, []).append(s)
    found = tolerance(x, labels)
    assert found.figures() == pytest.approx(
        {"within": np.mean(same), "tolerance": sum(same) / (12 * 11), "between": np.mean(apart)}
    )
    assert found.figure("tolerance") != pytest.approx(found.figure("within"), rel=0.5)
    want = [np.mean(own[i]) if i in own else np.nan for i in range(12)]
    np.testing.assert_allclose(found.columns["to_class"], want)
    assert found.facts == {"classes": 4, "alone": 1}
    assert tolerance(x, np.array([*"abacbaadcbac"])).figures() == pytest.approx(found.figures())


def test_known_answers():
    directions = torch.eye(3).repeat_interleave(4, 0)
    found = tolerance(directions, torch.arange(12) // 4)
    assert found.figures() == pytest.approx(
        {"within": 1.0, "tolerance": 3 * 4 * 3 / (12 * 11), "between": 0.0}, abs=1e-7
    )
    collapsed = tolerance(torch.ones(12, 3), torch.arange(12) // 4)
    assert collapsed.figures() == pytest.approx({"within": 1.0, "tolerance": 36 / 132, "between": 1.0}, abs=1e-6)
    # many classes make the printed form small by themselves
    assert tolerance(torch.ones(12, 3), torch.arange(12) // 2).figure("tolerance") == pytest.approx(12 / 132)


def test_errors():
    x = torch.eye(4)
    for labels, error, match in (
        ([0, 0, 1], UsageError, "beside 4 records"),
        ([0, 0, 0, 0], DataError, "one class only"),
        ([0, 1, 2, 3], DataError, "no class has two"),
        ([0.0, 1.0, float("nan"), 1.0], DataError, "NaN"),
        (np.array(["a", None, "a", "b"], dtype=object), DataError, "no gaps"),
    ):
        with pytest.raises(error, match=match):
            tolerance(x, labels)
