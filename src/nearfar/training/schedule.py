"""Schedules of the learning rate: (step, total) -> a factor of it. Pure functions, so that a resumed run needs no state.

        warm-up       (step + 1) / w  in the first w steps, in front of any of these
        cosine        (1 + cos(pi * done)) / 2                SGDR without restarts (Loshchilov and Hutter 2016, arXiv 1608.03983)
        linear        1 - done
        step          DROP for each share of `DROPS_AT` that is passed: MoCo's (He et al. 2019, arXiv 1911.05722)
        inverse_sqrt  sqrt(w / (step + 1)), w at least 1      Transformer's (Vaswani et al. 2017, arXiv 1706.03762); it knows no end
        constant      1

`done` is the share of the steps after the warm-up. Cosine and linear end at `FLOOR`.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from nearfar.core.errors import UsageError

FLOOR = 0.02  # of the full rate at the end: a rate of zero would waste the last steps
DROPS_AT, DROP = (0.6, 0.8), 0.1  # MoCo: epochs 120 and 160 of 200, each time to a tenth
SCHEDULES = ("cosine", "linear", "step", "inverse_sqrt", "constant")


@runtime_checkable
class Scheduled(Protocol):
    """What of a stage says how its rate moves; `nearfar.core.stage.Fit` has both."""

    @property
    def schedule(self) -> str: ...
    @property
    def warmup(self) -> int | float: ...


def factor(stage: Scheduled, step: int, total: int) -> float:
    """The factor of the learning rate at a step counted from 0.

    `warmup` is a share of all steps (0.1), or, as a whole number, so many steps (500).
    Raises UsageError for an unknown schedule, or a warm-up that is negative or longer than the training.

    >>> from nearfar.core.stage import Fit
    >>> [round(factor(Fit(schedule="linear", warmup=0.2), step, 10), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    rising = warmup_steps(stage.warmup, total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if stage.schedule == "cosine":
        return max(FLOOR, 0.5 * (1 + math.cos(math.pi * done)))
    if stage.schedule == "linear":
        return max(FLOOR, 1 - done)
    if stage.schedule == "step":
        return DROP ** sum(done >= share for share in DROPS_AT)
    if stage.schedule == "inverse_sqrt":
        return math.sqrt(max(1, rising) / (step + 1))
    if stage.schedule == "constant":
        return 1.0
    raise UsageError(
        f"no schedule {stage.schedule!r}", where="fit.schedule", remedy=f"there are {', '.join(SCHEDULES)}"
    )


def warmup_steps(warmup: int | float, total: int) -> int:
    """The steps in which the rate rises: a share of all, rounded up, or a whole number of them.

    >>> warmup_steps(0.1, 95), warmup_steps(5, 95)
    (10, 5)
    """
    whole = isinstance(warmup, int)
    if not 0 <= warmup <= (total if whole else 1):
        raise UsageError(
            f"a warm-up of {warmup} {'steps' if whole else 'of all steps'} in a training of {total}",
            where="fit.warmup",
            remedy="give a share from 0.0 to 1.0, or a whole number of steps that is not above all of them",
        )
    return warmup if isinstance(warmup, int) else math.ceil(warmup * total)
