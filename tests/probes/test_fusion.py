"""Reciprocal rank fusion against loops over ranks."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.maths import fusion


def naive(tables: list[np.ndarray], k: float, ties: str = "average") -> np.ndarray:
    fused = np.zeros(tables[0].shape)
    for table in tables:
        for q, line in enumerate(table):
            for d, score in enumerate(line):
                above, equal = (line > score).sum(), (line == score).sum()
                fused[q, d] += 1 / (k + above + ((equal + 1) / 2 if ties == "average" else 1))
    return fused


@pytest.mark.parametrize("working_bytes", [1, fusion.WORKING_BYTES])
def test_equals_loops_with_ties(working_bytes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fusion, "WORKING_BYTES", working_bytes)
    random = np.random.default_rng(0)
    tables = [random.integers(-3, 3, size=(5, 11)), random.normal(size=(5, 11)), np.zeros((5, 11))]
    fused = fusion.reciprocal_rank_fusion(tables, k=10)
    assert fused == pytest.approx(naive(tables, 10), rel=1e-6)
    assert fused != pytest.approx(naive(tables, 10, ties="first"), rel=1e-6)
    assert fused != pytest.approx(naive(tables, 60), rel=1e-6)


def test_weights_multiply_each_systems_share():
    random = np.random.default_rng(4)
    tables = [random.normal(size=(3, 7)), random.normal(size=(3, 7))]
    fused = fusion.reciprocal_rank_fusion(tables, k=3, weights=(1.0, 0.5))
    assert fused == pytest.approx(naive(tables[:1], 3) + 0.5 * naive(tables[1:], 3), rel=1e-6)
    assert fused != pytest.approx(naive(tables, 3), rel=1e-3)
    for wrong in ((1.0,), (1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(UsageError, match="positive weights"):
            fusion.reciprocal_rank_fusion(tables, weights=wrong)


def test_a_system_that_is_indifferent_changes_no_order():
    scores = np.random.default_rng(1).normal(size=(4, 9))
    fused = fusion.reciprocal_rank_fusion([scores, np.zeros((4, 9))])
    assert (fused.argsort(1) == scores.argsort(1)).all()
    assert (fusion.reciprocal_rank_fusion([-scores]).argsort(1) != scores.argsort(1)).any()


def test_only_ranks_count():
    scores = np.random.default_rng(2).normal(size=(4, 9))
    other = np.random.default_rng(3).normal(size=(4, 9))
    fused = fusion.reciprocal_rank_fusion([scores, other])
    assert (fusion.reciprocal_rank_fusion([np.exp(5 * scores), other]) == fused).all()
    assert (fusion.reciprocal_rank_fusion([scores**2, other]) != fused).any()


def test_errors():
    with pytest.raises(UsageError, match="no system"):
        fusion.reciprocal_rank_fusion([])
    with pytest.raises(UsageError, match="one shape"):
        fusion.reciprocal_rank_fusion([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(UsageError, match="k > 0"):
        fusion.reciprocal_rank_fusion([np.zeros((2, 3))], k=0)
    with pytest.raises(DataError, match="NaN"):
        fusion.reciprocal_rank_fusion([np.full((2, 3), np.nan)])
