"""Noise: white Gaussian noise added to a wave, as loud as a signal-to-noise ratio drawn per record says.

        y = x + g e,    e_t normal,    10 log10(sum x^2 / sum (g e)^2) = SNR,    SNR uniform in [low, high] decibels

The ratio holds exactly, for the noise that was drawn, not only on average; a quiet wave gets quiet noise. Silence has no ratio and stays
silence. Kin: `jitter` adds noise of a size that is fixed relative to the spread of a series; `speed` and `time_mask` add none.
Source: the usual augmentation of waves, as in Kharitonov et al. 2020 (arXiv 2007.00991), who add recorded noise. White noise needs
no recordings. The range is ours, from clearly audible (10 dB) to barely so (30 dB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nearfar.core.arrays import Arrays, as_floats, back_to
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.each_normal import each_normal

CARD = Card(
    name="noise",
    summary="white noise added to a wave at a signal-to-noise ratio drawn per record",
    related=("speed", "time_mask", "jitter"),
    reads=("audio",),
)


@dataclass(frozen=True)
class Noise:
    """See `noise`."""

    low: float
    high: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not -100 <= self.low <= self.high <= 200:
            raise UsageError(
                f"signal-to-noise ratios from {self.low} to {self.high} dB",
                where="noise.low",
                remedy="give -100 <= low <= high <= 200; 0 dB is noise as loud as the wave, more is quieter",
            )

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Waves [t] as waves of the same length, arrays or tensors as they were given."""
        waves = [as_floats(record, i, (1,), "a wave [t]") for i, record in enumerate(records)]
        decibels = self.low + (self.high - self.low) * draws.uniform("noise, ratio")
        noises = each_normal(draws, "noise", [len(wave) for wave in waves])
        made = []
        for wave, noise, decibel, record in zip(waves, noises, decibels.tolist(), records, strict=True):
            power = float(np.square(wave, dtype=np.float64).sum())
            drawn = noise.numpy()
            gain = math.sqrt(power / np.square(drawn).sum() * 10 ** (-decibel / 10))
            made.append(back_to(wave + gain * drawn, record))
        return made


def noise(*, low: float = 10.0, high: float = 30.0) -> Noise:
    """A view of sound waves (1-d float arrays or tensors): white noise, low to high decibels below the wave.

    Raises UsageError for ratios out of all bounds, DataError for a record that is no wave.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> wave = np.sin(np.arange(1000) / 5)
    >>> (noisy,) = nf.noise(low=20.0, high=20.0)([wave], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> round(float(10 * np.log10((wave**2).sum() / ((noisy - wave) ** 2).sum())), 6)
    20.0
    """
    return Noise(low, high)
