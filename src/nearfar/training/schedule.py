"""Learning rate schedules: (step, total) -> a factor of the rate. Pure, so that a resumed run needs no state."""

from __future__ import annotations

import math

from nearfar.core.stage import Fit

FLOOR = 0.02  # of the full rate at the end: a rate of zero would waste the last steps


def factor(fit: Fit, step: int, total: int) -> float:
    """The factor of the learning rate at a step counted from 0.

    >>> factor(Fit(schedule="constant"), 5, 10)
    1.0
    """
    rising = math.ceil(fit.warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if fit.schedule == "cosine":
        return max(FLOOR, 0.5 * (1 + math.cos(math.pi * done)))
    if fit.schedule == "linear":
        return max(FLOOR, 1 - done)
    return 1.0
