"""`drawn_parts`: records drawn into parts of stated sizes, classes in proportion; the draw is the seed's alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearfar.core.errors import UsageError


def drawn_parts(label: np.ndarray, sizes: Mapping[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Places [size] of each part, sorted, none in two parts; `label` [n] int: each part has the classes in proportion, to rounding.

    >>> {name: places.tolist() for name, places in drawn_parts(np.array([0, 0, 1, 1]), {"train": 2, "test": 2}).items()}
    {'train': [0, 2], 'test': [1, 3]}

    Raises UsageError where the parts together are larger than the whole.
    """
    total = sum(sizes.values())
    if total > len(label):
        raise UsageError(f"{total:,} records of {len(label):,}", where="sizes", remedy="draw fewer")
    shuffled = np.random.default_rng(seed).permutation(len(label))
    # Each class's records at even distances: every run of this order, hence every part, has the classes in proportion.
    rank = np.empty(len(label))
    for value in np.unique(label):
        mine = shuffled[label[shuffled] == value]
        rank[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    line = shuffled[np.argsort(rank[shuffled], kind="stable")]
    ends = np.cumsum(list(sizes.values()))
    return {name: np.sort(line[end - size : end]) for (name, size), end in zip(sizes.items(), ends, strict=True)}
