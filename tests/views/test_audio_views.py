"""Views of sound: what they do to a tone that is known exactly, how they are spread; the chance of records is in test_contract.py."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.maths.resampling import resampled
from views.shared import check_forms, check_identity, draws

CHANCE = np.random.default_rng(0)
WAVES = [CHANCE.normal(size=t) for t in (300, 41, 2, 128)] + [np.sin(np.arange(200) / 4)]
VIEWS = {"speed": nf.speed(), "noise": nf.noise(), "time_mask": nf.time_mask(share=0.3)}


def tone(frequency: float, size: int, step: float = 1.0) -> np.ndarray:
    """A sine of so many cycles a sample, at every `step`-th sample."""
    return np.sin(2 * np.pi * frequency * np.arange(size) * step)


@pytest.mark.parametrize("name", VIEWS)
def test_forms_are_kept(name):
    check_forms(VIEWS[name], WAVES[3:])


def test_mildest_views_are_the_identity():
    check_identity(nf.speed(low=1, high=1), WAVES)
    check_identity(nf.time_mask(share=0), WAVES)
    check_identity(nf.noise(low=200, high=200), WAVES, atol=1e-8)


@pytest.mark.parametrize("step", [0.5, 0.9, 0.937, 1.1, 1.3, 2.0, 3.7])
def test_a_tone_that_fits_is_resampled_to_the_tone_it_would_have_been(step):
    frequency = 0.05
    made = resampled(tone(frequency, 4000), step)
    wanted = tone(frequency, len(made), step)
    inner = slice(int(200 / step), int(-200 / step))
    assert len(made) == round(4000 / step)
    assert np.abs(made - wanted)[inner].max() < 1e-3
    places = np.arange(len(made)) * step
    linear = np.interp(places, np.arange(4000), tone(frequency, 4000))  # known bad
    assert np.abs(linear - wanted)[inner].max() > 5e-3 or step in (2.0,)


def test_what_no_longer_fits_is_cut_off_instead_of_folding_back():
    high = tone(0.45, 4000)
    inner = slice(200, -200)
    made = resampled(high, 2.0)[inner]
    assert np.sqrt((made**2).mean()) < 1e-3
    assert np.sqrt((high[::2][inner] ** 2).mean()) > 0.5  # known bad: every other sample
    assert np.abs(resampled(np.ones(900), 1.37)[inner] - 1).max() < 1e-3


def test_speed_is_uniform_and_moves_pitch_and_length():
    wave = tone(0.05, 1000)
    made = nf.speed(low=0.8, high=1.25)([wave] * 400, draws([wave] * 400))
    speeds = np.array([1000 / len(m) for m in made])
    assert 0.8 <= speeds.min() < 0.82
    assert 1.23 < speeds.max() <= 1.2501
    assert abs(speeds.mean() - 1.025) < 4 * 0.13 / 20
    for m, s in list(zip(made, speeds, strict=True))[:10]:
        peak = np.abs(np.fft.rfft(m * np.hanning(len(m)))).argmax() / len(m)
        assert abs(peak - 0.05 * s) < 1.5 / len(m)


def test_noise_has_the_ratio_it_says():
    view = nf.noise(low=-5, high=20)
    waves = [wave * scale for wave in (WAVES[0], WAVES[4]) for scale in (1e-3, 1, 1e3)] * 60
    made = view(waves, draws(waves))
    ratios = np.array([10 * np.log10((w**2).sum() / ((m - w) ** 2).sum()) for m, w in zip(made, waves, strict=True)])
    assert -5 <= ratios.min() < -4.5
    assert 19.5 < ratios.max() <= 20 + 1e-9
    assert abs(ratios.mean() - 7.5) < 4 * 25 / np.sqrt(12 * len(waves))
    exact = nf.noise(low=6, high=6)(
        [WAVES[2]] * 50, draws([0] * 50)
    )  # two samples: the drawn power is far from the mean
    powers = [((m - WAVES[2]) ** 2).sum() for m in exact]
    assert np.allclose(powers, (WAVES[2] ** 2).sum() * 10**-0.6)
    noises = np.concatenate([(m - w) / (m - w).std() for m, w in zip(made, waves, strict=True)])
    assert abs(noises.mean()) < 0.02
    assert abs((noises**4).mean() - 3) < 0.1  # normal


def test_silence_stays_silence_and_all_else_changes():
    silent, wave = nf.noise()([np.zeros(50), WAVES[4]], draws([0, 1]))
    assert (silent == 0).all()
    assert not (wave == WAVES[4]).any()


def test_masks_are_spans_of_at_most_the_share():
    ones = [np.ones(200)] * 500
    made = np.stack(nf.time_mask(share=0.2, spans=1)(ones, draws(ones)))
    lengths = (made == 0).sum(1)
    assert lengths.max() == 40
    assert lengths.min() == 0
    assert abs(lengths.mean() - 20) < 4 * 41 / np.sqrt(12 * 500)
    starts = [m.argmin() for m, length in zip(made, lengths, strict=True) if length]
    assert all((np.diff(np.flatnonzero(m == 0)) == 1).all() for m in made)
    assert min(starts) < 10
    assert max(starts) > 150
    two = np.stack(nf.time_mask(share=0.2, spans=2)(ones, draws(ones)))
    assert (two == 0).sum(1).max() <= 80
    assert (two == 0).sum() > 1.5 * lengths.sum()


def test_odd_waves_are_never_emptied():
    tiny = [np.ones(1), np.ones(2), np.ones(3)]
    for view in (nf.speed(low=10, high=10), nf.time_mask(share=0.49), nf.noise()):
        assert all(len(m) >= 1 and np.isfinite(m).all() for m in view(tiny, draws(tiny)))
    masked = nf.time_mask(share=0.33, spans=3)(tiny * 100, draws(tiny * 100))
    assert all(m.sum() > 0 for m in masked)


@pytest.mark.parametrize(
    ("view", "options"),
    [
        (nf.speed, {"low": 1.2, "high": 0.9}),
        (nf.speed, {"low": 0}),
        (nf.speed, {"high": float("nan")}),
        (nf.noise, {"low": 40}),
        (nf.noise, {"high": float("inf")}),
        (nf.time_mask, {"share": 0.5, "spans": 2}),
        (nf.time_mask, {"share": -0.1}),
        (nf.time_mask, {"spans": 0}),
    ],
)
def test_senseless_options_are_usage_errors(view, options):
    with pytest.raises(UsageError):
        view(**options)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("record", ["wave.wav", np.ones((4, 2)), np.ones(0), None, np.array([1j])])
def test_what_is_no_wave_is_named(name, record):
    with pytest.raises(DataError, match="record 1"):
        VIEWS[name]([WAVES[0], record], draws([0, 1]))


def test_whole_numbers_become_floats():
    wave = (1000 * tone(0.01, 300)).astype(np.int16)
    for view in VIEWS.values():
        assert view([wave], draws([0]))[0].dtype == np.float32
        assert view([torch.from_numpy(wave)], draws([0]))[0].dtype == torch.float32
