"""Early stopping, and which checkpoint is best: pure functions of the figures measured so far, so that a resumed run needs no state.

Any figure of any probe will do: the list holds one number a measurement, in order. A figure that is not a number (a probe that
had nothing to measure, a diverged model) is never best and never an improvement, but counts as a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from nearfar.core.errors import UsageError

Mode = Literal["max", "min"]


def best(figures: Sequence[float], *, mode: Mode = "max") -> int | None:
    """The place of the best figure, the first of equal ones; None as long as there is none.

    >>> best([0.2, 0.5, 0.4, 0.5]), best([2.0, 1.0], mode="min"), best([])
    (1, 1, None)
    """
    sign = _sign(mode)
    places = [i for i, figure in enumerate(figures) if not math.isnan(figure)]
    return max(places, key=lambda i: sign * figures[i]) if places else None


def since_improvement(figures: Sequence[float], *, mode: Mode = "max", min_delta: float = 0.0) -> int:
    """Measurements since the last improvement, which is one by more than `min_delta` on the figure of the improvement before it.

    So a figure that creeps up by less than `min_delta` a time does improve, once it has crept far enough.

    >>> since_improvement([0.2, 0.5, 0.4, 0.5]), since_improvement([0.50, 0.51, 0.52, 0.53], min_delta=0.015)
    (2, 1)
    """
    if not 0 <= min_delta < math.inf:
        raise UsageError(f"min_delta is {min_delta}", where="min_delta", remedy="give 0 or a little more")
    sign, last, reference = _sign(mode), -1, -math.inf
    for place, figure in enumerate(figures):
        if sign * figure > reference + (min_delta if reference > -math.inf else 0.0):
            last, reference = place, sign * figure
    return len(figures) - 1 - last


def should_stop(figures: Sequence[float], patience: int | None, *, mode: Mode = "max", min_delta: float = 0.0) -> bool:
    """Whether the last `patience` measurements all brought no improvement; never for None.

    Raises UsageError for a patience below 1.

    >>> should_stop([0.2, 0.5, 0.4, 0.5], 2), should_stop([0.2, 0.5, 0.4, 0.5], 3)
    (True, False)
    """
    if patience is None:
        return False
    if patience < 1:
        raise UsageError(
            f"a patience of {patience} measurements", where="fit.patience", remedy="give 1 or more, or none"
        )
    return since_improvement(figures, mode=mode, min_delta=min_delta) >= patience


def _sign(mode: Mode) -> int:
    if mode not in ("max", "min"):
        raise UsageError(f"no mode {mode!r}", where="mode", remedy='"max" where more is better, else "min"')
    return 1 if mode == "max" else -1
