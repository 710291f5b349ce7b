"""Marginal swap: how many features go, where their values come from; the chance of records is in test_contract.py."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from views.shared import check_forms, check_identity, draws

CHANCE = np.random.default_rng(0)
TABLE = CHANCE.normal(size=(200, 10))


def bound(share: float = 0.6):
    return nf.marginal_swap(share=share).bind(TABLE)


def test_forms_are_kept():
    check_forms(bound(), list(TABLE[:20]))


def test_share_zero_is_the_identity_and_share_one_leaves_nothing():
    check_identity(bound(0), list(TABLE[:20]))
    strange = [np.full(10, 99.0)] * 30
    made = np.stack(bound(1)(strange, draws(strange)))
    assert (made != 99).all()


def test_the_share_is_exact_and_every_feature_goes_as_often():
    strange = [np.full(10, 99.0)] * 500
    made = np.stack(bound(0.6)(strange, draws(strange)))
    assert ((made != 99).sum(1) == 6).all()
    by_feature = (made != 99).mean(0)
    assert np.abs(by_feature - 0.6).max() < 4 * np.sqrt(0.24 / 500)
    assert ((np.stack(bound(0.59)(strange, draws(strange))) != 99).sum(1) == 5).all()  # rounded down
    wide = nf.marginal_swap(share=0.29, reference=np.zeros((2, 100)))
    assert (wide([np.ones(100)], draws([0]))[0] == 0).sum() == 29


def test_values_come_from_the_features_own_column_of_any_row():
    table = np.arange(10) * 1000 + np.arange(200)[:, None]
    view = nf.marginal_swap(share=1, reference=table)
    rows = [np.zeros(10)] * 400
    made = np.stack(view(rows, draws(rows)))
    column, row = np.divmod(made, 1000)
    assert (column == np.arange(10)).all()
    assert len(np.unique(row)) == 200
    assert abs(row.mean() - 99.5) < 4 * 200 / np.sqrt(12 * 4000)
    assert (row.std(1) > 0).all()  # each feature from a row of its own; known bad: a whole other row
    assert not (table[CHANCE.integers(0, 200, 400)] % 1000).std(1).any()


def test_binding_draws_from_all_records_and_not_from_the_batch():
    batch = [np.zeros(10), np.ones(10)]
    made = np.stack(bound(1)(batch, draws(batch)))
    assert np.isin(made, TABLE).all()
    given = nf.marginal_swap(reference=np.full((3, 10), 5.0)).bind(TABLE)
    assert (given([np.zeros(10)], draws([0]))[0] == 5).sum() == 6  # a reference of one's own stays


def test_a_table_may_be_an_array_or_a_tensor():
    view = bound()
    from_list = view(list(TABLE[:4]), draws(range(4)))
    assert all(np.array_equal(a, b) for a, b in zip(from_list, view(TABLE[:4], draws(range(4))), strict=True))
    made = nf.marginal_swap(reference=torch.from_numpy(TABLE))(torch.from_numpy(TABLE[:4]), draws(range(4)))
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(from_list, made, strict=True))


def test_errors():
    with pytest.raises(UsageError, match=r"no table to draw from.*bind"):
        nf.marginal_swap()(TABLE, draws(TABLE))
    with pytest.raises(UsageError, match=r"share of 1\.5"):
        nf.marginal_swap(share=1.5)
    with pytest.raises(DataError, match="without rows"):
        nf.marginal_swap().bind([])
    with pytest.raises(DataError, match=r"3 features, where the reference has 10.*record 1"):
        bound()([TABLE[0], np.zeros(3)], draws([0, 1]))
    with pytest.raises(DataError, match=r"3 features after rows of 10.*record 1"):
        nf.marginal_swap().bind([TABLE[0], np.zeros(3)])
    with pytest.raises(DataError, match="record 0"):
        bound()(["row"], draws([0]))
