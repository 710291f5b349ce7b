"""`long_tail`: fewer records of each class than of the one before, the sizes falling geometrically; the draw is the seed's alone."""

from __future__ import annotations

import numpy as np

from nearfar.core.errors import UsageError


def long_tail(label: np.ndarray, ratio: float, seed: int = 0, largest: int | None = None) -> np.ndarray:
    """Places of the records that are kept, sorted; `label` [n] int.

    The first of c classes keeps m records, `largest` or as many as the smallest class has; the k-th round(m ratio^(-k / (c - 1))),
    and at least one. Which class comes first, and which of its records are kept, is drawn.

    >>> import numpy as np
    >>> label = np.repeat([0, 1, 2], 16)
    >>> sorted(np.bincount(label[long_tail(label, 16)]).tolist())
    [1, 4, 16]

    Raises UsageError for a ratio below one, and where a class has fewer records than `largest`.
    """
    if not ratio >= 1:
        raise UsageError(
            f"a ratio of {ratio}", where="ratio", remedy="give the largest class over the smallest: 1 or more"
        )
    chance = np.random.default_rng(seed)
    classes, sizes = np.unique(label, return_counts=True)
    most = int(sizes.min()) if largest is None else largest
    if most > sizes.min():
        raise UsageError(
            f"the largest class is to have {most:,} records, and the smallest there is has {sizes.min():,}",
            where="largest",
            remedy="give fewer",
        )
    kept = []
    for place, one in enumerate(chance.permutation(classes)):
        wanted = most * ratio ** (-place / max(1, len(classes) - 1))
        mine = chance.permutation(np.flatnonzero(label == one))
        kept.append(mine[: max(1, round(wanted))])
    return np.sort(np.concatenate(kept))
