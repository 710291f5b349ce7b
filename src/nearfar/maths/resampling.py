"""Resampling a wave by any factor: band-limited interpolation with a windowed sinc.

        y_j = c sum_k x_k sinc(c (k - j s)) w((k - j s) / W)        c = min(1, 1 / s) * 0.95,  W = 16 / c samples

s is the step between the new samples, counted in old ones: s = 2 leaves out every other sample. With s > 1 the highest
frequencies no longer fit, and c cuts them off before they fold back into the rest (aliasing), which linear interpolation does not
do. w is Kaiser's window with beta = 8.6: what should be cut off is 80 dB down. Within W of its ends the wave is taken to be zero beyond.
Source: Smith and Gossett 1984, "A flexible sampling-rate conversion method".
"""

from __future__ import annotations

import math

import numpy as np

ZEROS = 16  # zero crossings of the sinc on each side
ROLLOFF = 0.95  # the share of the band that is kept: a filter of finite length needs room to fall off
BETA = 8.6
BLOCK = 1 << 14  # new samples at once, so that memory does not grow with the wave
PHASES = (
    512  # places between two samples for which the kernel is computed; between them it is linear, right to five digits
)


def resampled(wave: np.ndarray, step: float) -> np.ndarray:
    """The wave [t] at every `step`-th sample, [round(t / step)] and at least one, of the same dtype; step 1 is a copy.

    >>> import numpy as np
    >>> wave = np.sin(np.arange(400) / 9)
    >>> slow = resampled(wave, 0.5)
    >>> len(slow), bool(abs(slow[300:500:2] - wave[150:250]).max() < 1e-3)
    (800, True)
    """
    size = max(1, round(len(wave) / step))
    if step == 1:
        return wave.copy()
    cut = ROLLOFF * min(1.0, 1 / step)
    reach = math.ceil(ZEROS / cut)
    taps = np.arange(-reach, reach + 1)
    kernels = cut * _kernel((taps - np.arange(PHASES + 1)[:, None] / PHASES) * cut)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(wave.astype(np.float64), reach), len(taps))
    made = np.empty(size, dtype=wave.dtype)
    for first in range(0, size, BLOCK):
        # Never beyond the wave: (size - 1) steps are at most its length less half a step.
        place = np.arange(first, min(first + BLOCK, size)) * step
        nearest = np.floor(place).astype(np.int64)
        phase = (place - nearest) * PHASES
        below = np.floor(phase).astype(np.int64)
        share = (phase - below)[:, None]
        kernel = kernels[below] * (1 - share) + kernels[below + 1] * share
        made[first : first + len(place)] = np.einsum("jk,jk->j", around[nearest], kernel)
    return made


def _kernel(distance: np.ndarray) -> np.ndarray:
    """The windowed sinc at distances in zero crossings."""
    window = np.i0(BETA * np.sqrt((1 - (distance / ZEROS) ** 2).clip(0))) / np.i0(BETA)
    return np.where(np.abs(distance) <= ZEROS, np.sinc(distance) * window, 0.0)
