"""Where a training stands, in one line: loss against chance level, records a second, time left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Standing:
    """A training after some steps.

    step, total  steps done of all
    loss         of the last step
    candidates   keys of a query: who knows nothing has the loss ln(candidates); 0 where that says nothing
    records      of all steps of this process
    seconds      that they took
    resumed      steps that an earlier process had done

    >>> str(Standing(step=50, total=200, loss=2.5, candidates=1024, records=51_200, seconds=10.0))
    'loss 2.500 (chance 6.931), 5,120 records/s, 30 s left'
    """

    step: int
    total: int
    loss: float
    candidates: int = 0
    records: int = 0
    seconds: float = 0.0
    resumed: int = 0

    @property
    def chance(self) -> float | None:
        """The loss of InfoNCE when every key is as likely: ln(candidates)."""
        return math.log(self.candidates) if self.candidates > 1 else None

    @property
    def at_chance(self) -> bool:
        """Whether next to nothing is learned so far: the loss is within 3 % of chance level, or above it."""
        return self.chance is not None and self.loss > 0.97 * self.chance

    @property
    def rate(self) -> float:
        """Records a second, over this process."""
        return self.records / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None before there is one."""
        done = self.step - self.resumed
        return self.seconds / done * (self.total - self.step) if done > 0 and self.seconds > 0 else None

    def __str__(self) -> str:
        words = [f"loss {self.loss:.3f}" + (f" (chance {self.chance:.3f})" if self.chance is not None else "")]
        if self.rate:
            words.append(f"{self.rate:,.0f} records/s")
        if self.left is not None:
            words.append(f"{duration(self.left)} left")
        return ", ".join(words)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(9.6), duration(95), duration(7500), duration(200_000)
    ('10 s', '1 min 35 s', '2 h 5 min', '2 d 7 h')
    """
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for (name, size), (smaller, part) in pairwise(units):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
