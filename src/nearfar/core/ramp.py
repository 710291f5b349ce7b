"""`Ramp`: a number that moves from one value to another over a share of the training: a term's weight, a teacher's momentum.

    linear:  start + (end - start) * u                           u = the share of the way from `from_share` to `to_share`
    cosine:  start + (end - start) * (1 - cos(pi u)) / 2         slow at both ends, as BYOL's teacher

A pure function of the progress, so that a resumed run needs no state. What does not move is a plain number: `at` reads both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nearfar.core.errors import UsageError


@dataclass(frozen=True)
class Ramp:
    """From `start` to `end` while the training goes from `from_share` to `to_share` of its way; constant before and after.

    Equal shares make a jump: `Ramp(0, 1, 0.3, 0.3)` switches a term on after three tenths.
    Raises UsageError for values that are not finite, or shares that are not in order between 0 and 1.

    >>> weight = Ramp(0.0, 1.0, to_share=0.5)
    >>> weight(0.0), weight(0.25), weight(0.5), weight(1.0)
    (0.0, 0.5, 1.0, 1.0)
    """

    start: float
    end: float
    from_share: float = 0.0
    to_share: float = 1.0
    shape: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise UsageError(
                f"a ramp from {self.start} to {self.end} has an end that is no number",
                where="Ramp",
                remedy="give two finite numbers",
            )
        if not 0 <= self.from_share <= self.to_share <= 1:
            raise UsageError(
                f"a ramp cannot last from {self.from_share} to {self.to_share} of the training",
                where="Ramp",
                remedy="give two shares in order, from 0 to 1",
            )
        if self.shape not in ("linear", "cosine"):
            raise UsageError(f"no shape {self.shape!r}", where="Ramp.shape", remedy='there are "linear" and "cosine"')

    def __call__(self, progress: float) -> float:
        """The value when the share `progress` of the training is done. Raises UsageError unless that is from 0 to 1."""
        if not 0 <= progress <= 1:
            raise UsageError(
                f"{progress} of the training is no share", where="Ramp", remedy="give step / (steps - 1), from 0 to 1"
            )
        if progress >= self.to_share:
            return float(self.end)
        if progress <= self.from_share:
            return float(self.start)
        way = (progress - self.from_share) / (self.to_share - self.from_share)
        if self.shape == "cosine":
            way = (1 - math.cos(math.pi * way)) / 2
        return self.start + (self.end - self.start) * way


def at(value: float | Ramp, progress: float) -> float:
    """A number that stays, or a ramp's value at `progress`.

    >>> at(0.99, 0.5), at(Ramp(0.99, 1.0), 0.5)
    (0.99, 0.995)
    """
    return value(progress) if isinstance(value, Ramp) else float(value)
