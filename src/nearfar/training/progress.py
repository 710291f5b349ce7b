"""Where a training stands, in a few words: loss against chance level, records a second. What a bar adds is the time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Standing:
    """A training after some steps.

    step, total  steps done of all
    loss         of the last step
    chance       the loss of who tells no pair from another; None where that says nothing (see `chance_of`)
    rate         records a second, over this process

    >>> str(Standing(step=50, total=200, loss=2.5, chance=6.931, rate=5120.4))
    'loss 2.500 (chance 6.931), 5,120 records/s'
    >>> str(Standing(step=50, total=200, loss=2.5))
    'loss 2.500'
    """

    step: int
    total: int
    loss: float
    chance: float | None = None
    rate: float = 0.0

    def __str__(self) -> str:
        words = f"loss {self.loss:.3f}" + (f" (chance {self.chance:.3f})" if self.chance is not None else "")
        return words + (f", {self.rate:,.0f} records/s" if self.rate else "")


def chance_of(entry: Mapping[str, Any]) -> float | None:
    """The chance level of the whole loss, of an entry with vital signs: that of its scored terms (ln of the candidates for InfoNCE).

    None where the loss has other terms too, or none that scores pairs: there is no such level then.

    >>> chance_of({"loss": 3.2, "scored_loss": 3.2, "scored_chance": 4.16})
    4.16
    >>> chance_of({"loss": 28.7, "keys": 60}) is None
    True
    """
    level, scored, loss = (entry.get(name) for name in ("scored_chance", "scored_loss", "loss"))
    if level is None or loss is None:
        return None
    return level if scored is None or abs(scored - loss) <= 1e-3 * max(abs(loss), 1e-3) else None
