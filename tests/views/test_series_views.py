"""Views of series: known answers, spread, missing values; the chance of records is in test_contract.py."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from views.shared import check_forms, check_identity, draws

CHANCE = np.random.default_rng(0)
SERIES = [CHANCE.normal(3, 2, size=shape) for shape in ((60, 3), (17, 3), (40,), (33, 1))]
VIEWS = {
    "jitter": nf.jitter(),
    "scaling": nf.scaling(),
    "series_crop": nf.series_crop(),
    "frequency_mask": nf.frequency_mask(share=0.4),
}


def many(series: np.ndarray, n: int = 400) -> list[np.ndarray]:
    return [series] * n


@pytest.mark.parametrize("name", VIEWS)
def test_forms_are_kept(name):
    check_forms(VIEWS[name], SERIES)


@pytest.mark.parametrize("name", VIEWS)
def test_missing_values_stay_missing_and_others_do_not(name):
    holes = [np.where(CHANCE.random(s.shape) < 0.2, np.nan, s) for s in SERIES]
    made = VIEWS[name](holes, draws(holes))
    if name != "series_crop":
        assert all((np.isnan(m) == np.isnan(h)).all() for m, h in zip(made, holes, strict=True))
    all_missing = np.full((5, 2), np.nan)
    (empty,) = VIEWS[name]([all_missing], draws([0]))
    assert np.isnan(empty).all()


def test_mildest_views_are_the_identity():
    check_identity(nf.jitter(sigma=0), SERIES)
    check_identity(nf.scaling(sigma=0), SERIES)
    check_identity(nf.series_crop(share=1), SERIES)
    check_identity(nf.frequency_mask(share=0), SERIES)


def test_jitter_is_normal_and_as_large_as_each_channel_varies():
    series = np.column_stack([np.arange(50.0), 1000 * np.cos(np.arange(50)), np.full(50, 7.0)])
    made = np.stack(nf.jitter(sigma=0.2)(many(series), draws(many(series)))) - series
    spread = np.asarray(series.std(0))
    assert np.allclose(made[..., :2].std((0, 1)), 0.2 * spread[:2], rtol=0.03)
    assert (made[..., 2] == 0).all()
    assert np.abs(made.mean((0, 1))[:2] / spread[:2]).max() < 0.01
    scaled = made[..., 0] / spread[0] / 0.2
    assert abs((scaled**4).mean() - 3) < 0.15
    assert abs(np.corrcoef(made[..., 0].ravel(), made[..., 1].ravel())[0, 1]) < 0.03
    absolute = np.random.default_rng(0).normal(scale=0.2, size=made.shape)  # known bad: papers' noise of a fixed size
    assert not np.allclose(absolute.std((0, 1))[:2], 0.2 * spread[:2], rtol=0.5)


def test_scaling_is_one_factor_a_channel():
    series = 1 + CHANCE.random((30, 2))
    made = np.stack(nf.scaling(sigma=0.1)(many(series), draws(many(series)))) / series
    assert np.allclose(made, made[:, :1])
    factors: np.ndarray = made[:, 0]
    assert np.abs(factors.mean(0) - 1).max() < 4 * 0.1 / 20
    assert np.allclose(factors.std(0), 0.1, rtol=0.2)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.2
    (flat,) = nf.scaling()([series[:, 0]], draws([0]))
    assert np.allclose(flat / series[:, 0], factors[0, 0])  # a series [t] is one channel


def test_crops_are_pieces_longer_than_the_share_anywhere():
    series = np.arange(101.0)
    made = nf.series_crop(share=0.5)(many(series), draws(many(series)))
    lengths, starts = np.array([len(m) for m in made]), np.array([m[0] for m in made])
    assert all((np.diff(m) == 1).all() for m in made)
    assert lengths.min() == 51
    assert lengths.max() == 101
    assert abs(lengths.mean() - 76) < 4 * 51 / np.sqrt(12 * 400)
    assert starts.min() == 0
    assert (starts + lengths).max() == 101
    assert (starts > 20).any()
    # Any two overlap, as TS2Vec demands; with a smaller share some do not.
    assert starts.max() < (starts + lengths).min()
    small = nf.series_crop(share=0.2)(many(series), draws(many(series)))
    assert max(m[0] for m in small) > min(m[-1] for m in small)


def test_crops_of_tiny_series_have_a_step():
    for share in (0, 0.5, 1):
        tiny = [np.ones((t, 2)) for t in (1, 2, 3)] * 50
        made = nf.series_crop(share=share)(tiny, draws(tiny))
        assert all(1 <= len(m) <= len(s) and m.shape[1] == 2 for m, s in zip(made, tiny, strict=True))


@pytest.mark.parametrize("length", [64, 65, 2, 3])
def test_frequencies_are_kept_or_gone_and_the_mean_stays(length):
    series = CHANCE.normal(5, 1, size=(length, 2))
    made = np.stack(nf.frequency_mask(share=0.3)(many(series), draws(many(series))))
    before, after = np.fft.rfft(series, axis=0), np.fft.rfft(made, axis=1)
    kept = np.isclose(after, before)
    assert (kept | np.isclose(after, 0, atol=1e-9)).all()
    assert kept[:, 0].all()
    assert kept[:, 1:].any(1).all()  # never a constant
    if length > 60:
        assert abs((~kept[:, 1:]).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / kept[:, 1:].size)
        assert not (kept[..., 0] == kept[..., 1]).all()  # channels draw by themselves


def test_at_the_extreme_one_frequency_a_channel_is_left():
    series = CHANCE.normal(size=(50, 3))
    (made,) = nf.frequency_mask(share=1)([series], draws([0]))
    left = np.abs(np.fft.rfft(made - made.mean(0), axis=0)) > 1e-9
    assert left.sum(0).tolist() == [1, 1, 1]
    assert np.allclose(nf.frequency_mask(share=1)([np.array([4.0])], draws([0]))[0], 4)


@pytest.mark.parametrize(
    ("view", "options"),
    [
        (nf.jitter, {"sigma": -1}),
        (nf.jitter, {"sigma": float("nan")}),
        (nf.scaling, {"sigma": -0.1}),
        (nf.series_crop, {"share": 1.1}),
        (nf.series_crop, {"share": -0.1}),
        (nf.frequency_mask, {"share": 2}),
    ],
)
def test_senseless_options_are_usage_errors(view, options):
    with pytest.raises(UsageError):
        view(**options)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("record", ["series", np.ones((4, 2, 2)), np.ones((0, 2)), 3.0, [[1.0], [2.0, 3.0]]])
def test_what_is_no_series_is_named(name, record):
    with pytest.raises(DataError, match="record 1"):
        VIEWS[name]([SERIES[0], record], draws([0, 1]))
