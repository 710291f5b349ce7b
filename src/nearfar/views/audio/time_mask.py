"""Time mask: some spans of a wave are silenced.

        y_t = 0 for t in [a_s, a_s + l_s), s = 1 .. spans;    l_s uniform in [0, share * T],    a_s uniform in [0, T - l_s]

Spans may overlap. Kin: `series_crop` removes the ends instead; `noise` covers the whole wave.
Source: Park et al. 2019 (SpecAugment, arXiv 1904.08779), who mask frames of a spectrogram: a length drawn from 0 to a limit, then the
place; two masks in their stronger policies. The limit there is 100 frames, here a share of the wave, which needs no sampling
rate; 0.1 is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.arrays import Arrays, as_floats, back_to
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError

CARD = Card(
    name="time_mask",
    summary="spans of a wave, drawn per record, are silenced",
    related=("noise", "speed", "series_crop"),
    reads=("audio",),
)


@dataclass(frozen=True)
class TimeMask:
    """See `time_mask`."""

    share: float
    spans: int
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.spans < 1 or not 0 <= self.share * self.spans < 1:
            raise UsageError(
                f"{self.spans} spans of a share of up to {self.share} each might silence all of a wave",
                where="time_mask.share",
                remedy="give a share of at least 0 that, times the spans, stays below 1",
            )

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Waves [t] as waves of the same length, arrays or tensors as they were given."""
        lengths, places = (draws.uniform(f"time_mask, {what}", self.spans) for what in ("length", "place"))
        made = []
        for i, record in enumerate(records):
            wave = as_floats(record, i, (1,), "a wave [t]").copy()
            for part, place in zip(lengths[i].tolist(), places[i].tolist(), strict=True):
                # Draws lie strictly between 0 and 1, so the whole number below n + 1 is one of 0 .. n.
                length = int(part * (int(self.share * len(wave)) + 1))
                start = int(place * (len(wave) - length + 1))
                wave[start : start + length] = 0
            made.append(back_to(wave, record))
        return made


def time_mask(*, share: float = 0.1, spans: int = 2) -> TimeMask:
    """A view of sound waves (1-d float arrays or tensors): up to `spans` spans, each at most `share` of the wave, become zero.

    Never all of a wave is silenced: share * spans must be below 1. share = 0 leaves all as they are.
    Raises UsageError for shares and spans that do not fit, DataError for a record that is no wave.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> (made,) = nf.time_mask(share=0.4)([np.ones(100)], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> len(made), bool(20 <= made.sum() < 100)
    (100, True)
    """
    return TimeMask(share, spans)
