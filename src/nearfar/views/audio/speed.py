"""Speed: a wave played faster or slower, which moves its pitch and its length together.

        y_j = x(j s),    s uniform in [low, high], one draw a record

s = 1.1 plays a tenth faster: fewer samples, all frequencies a tenth higher. New samples are interpolated by a windowed sinc
(maths/resampling.py): what no longer fits below half the sampling rate is cut off instead of folding back, as it would with linear
interpolation. Kin: `noise` and `time_mask` keep length and pitch.
Source: Ko et al. 2015, "Audio augmentation for speech recognition" (Interspeech), who take one of 0.9, 1.0 and 1.1; the defaults are
their range, drawn continuously, so that no two views of a record are equal by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.core.arrays import Arrays, as_floats, back_to
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.resampling import resampled

CARD = Card(
    name="speed",
    summary="a wave played faster or slower by a factor drawn per record; pitch and length change",
    related=("noise", "time_mask"),
    reads=("audio",),
)


@dataclass(frozen=True)
class Speed:
    """See `speed`."""

    low: float
    high: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0.1 <= self.low <= self.high <= 10:
            raise UsageError(
                f"speeds from {self.low} to {self.high}",
                where="speed.low",
                remedy="give 0.1 <= low <= high <= 10; 1 leaves a wave as it is",
            )

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Waves [t] as waves [round(t / factor)], arrays or tensors as they were given."""
        factors = self.low + (self.high - self.low) * draws.uniform("speed")
        waves = [as_floats(record, i, (1,), "a wave [t]") for i, record in enumerate(records)]
        return [
            back_to(resampled(wave, factor), record)
            for wave, factor, record in zip(waves, factors.tolist(), records, strict=True)
        ]


def speed(*, low: float = 0.9, high: float = 1.1) -> Speed:
    """A view of sound waves (1-d float arrays or tensors): each is played at a speed drawn from [low, high].

    Neither is ever empty: a wave keeps at least one sample. low = high = 1 leaves all as they are.
    Raises UsageError for speeds outside 0.1 to 10, DataError for a record that is no wave.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> waves = [np.sin(np.arange(1000) / 5), np.zeros(600)]
    >>> made = nf.speed(low=2.0, high=2.0)(waves, Draws(0, epoch=0, record=torch.tensor([4, 7])))
    >>> [len(wave) for wave in made]
    [500, 300]
    """
    return Speed(low, high)
