"""The multilayer perceptron: standardised features, and errors that name the record; the rest is in test_contract.py."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.mlp import Mlp
from nearfar.maths.standardising import Moments

CHANCE = np.random.default_rng(0)
TABLE = CHANCE.normal([5, -2000, 0, 7], [3, 0.01, 1e6, 0], size=(30, 4))


def encoder(**more) -> Mlp:
    return Mlp.fit({"query": TABLE}, **{"dimension": 5, "hidden": 8, **more})


def vectors(model: Mlp, records) -> torch.Tensor:
    return model(model.prepare(records)).vectors


def test_features_are_standardised_by_the_table_and_constants_are_ignored():
    model = encoder()
    inputs = model.prepare(TABLE)
    assert torch.allclose(inputs[:, :3].mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(inputs[:, :3].std(0, correction=0), torch.ones(3), atol=1e-5)
    assert inputs[:, 3].eq(0).all()
    odd = TABLE + np.array([0, 0, 0, 1e9])
    assert torch.equal(vectors(model, odd), vectors(model, TABLE))
    few = TABLE[:5]
    by_batch = torch.from_numpy((few - few.mean(0)) / (few.std(0) + 1e-9)).float()  # known bad: of the batch alone
    assert not torch.allclose(model.prepare(few), by_batch, atol=0.1)


def test_sides_share_the_statistics():
    both = Mlp.fit({"a": TABLE[:11], "b": TABLE[11:]})
    one = Mlp.fit({"a": TABLE})
    assert np.allclose(both.mean, one.mean, rtol=1e-12)
    assert np.allclose(both.factor, one.factor, rtol=1e-9)
    assert not np.allclose(Mlp.fit({"a": TABLE[:11]}).mean, one.mean, rtol=1e-3)  # known bad: one side alone


def test_moments_are_numpys_also_far_from_zero_and_with_holes():
    table = CHANCE.normal(1e9, 1, size=(500, 3))
    table[CHANCE.random(table.shape) < 0.3] = np.nan
    found = Moments(3)
    for piece in np.array_split(table, 17):
        found.add(piece)
    assert np.allclose(found.mean, np.nanmean(table, 0), rtol=1e-15)
    assert np.allclose(1 / found.factor(), np.nanstd(table, 0), rtol=1e-6)
    seen = ~np.isnan(table)
    naive = np.sqrt(np.abs(np.nansum(table**2, 0) / seen.sum(0) - np.nanmean(table, 0) ** 2))
    assert not np.allclose(naive, np.nanstd(table, 0), rtol=1e-2)  # known bad: mean of squares less square of mean


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1.0, 2.0], "2 features, where others have 4.*record 1"),
        ([1.0, np.nan, 0.0, 7.0], "feature 1 is nan.*record 1"),
        ([1.0, 0.0, np.inf, 7.0], "feature 2 is inf.*record 1"),
        (["a", "b", "c", "d"], "not a row of numbers.*record 1"),
        ([[1.0, 2.0, 3.0, 4.0]], r"shape \[1, 4\].*record 1"),
        (3.0, r"shape \[\].*record 1"),
        ({"a": 1}, "a dict is not a row.*record 1"),
        ([1.0, [2.0], 3.0, 4.0], "not a row.*record 1"),
        ([1e300, -2000.0, 0.0, 7.0], "too far from.*record 1"),
    ],
)
def test_a_bad_record_is_named(record, message):
    if "shape" not in message and "far" not in message:
        with pytest.raises(DataError, match=message):
            Mlp.fit({"query": [TABLE[0], record]})
    with pytest.raises(DataError, match=message):
        encoder().prepare([TABLE[0], record])


def test_bad_settings_say_so():
    cases: list[dict] = [{"hidden": 0}, {"layers": 101}, {"dimension": -1}, {"activation": "sine"}]
    for options in cases:
        with pytest.raises(UsageError, match=next(iter(options))):
            encoder(**options)
    with pytest.raises(DataError, match="no records"):
        Mlp.fit({"query": []})


def test_whole_numbers_tensors_and_lists_are_rows():
    model = Mlp.fit({"query": [[1, 2], [3, 5]]})
    made = vectors(model, [[1, 2], np.array([1, 2]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), (1.0, 2.0)])
    assert torch.equal(made, made[:1].expand(5, -1))


def test_it_learns_what_two_tables_have_in_common():
    chance = np.random.default_rng(2)
    hidden = chance.normal(size=(80, 2))
    left = np.column_stack([hidden, chance.normal(size=(80, 6)) * 3])
    right = np.column_stack([hidden**3, chance.normal(size=(80, 6)) * 3])
    model = Mlp.fit({"query": left, "document": right}, dimension=8, hidden=32, layers=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    losses, x, y = [], model.prepare(left), model.prepare(right)
    for _ in range(40):
        optimiser.zero_grad()
        loss = nf.contrast(nf.info_nce, model(x).vectors, model(y).vectors, nf.paired(), temperature=0.2)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
