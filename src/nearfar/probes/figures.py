"""`Figures`: what a probe found where nothing belongs to a single unit: a spectrum, a rank, a curve.

The sibling of `outcome`, which keeps values of units. There is no interval to be had from one such measurement: measure several
seeds, or several samples of records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.errors import UsageError

CARD = Card(
    name="figures",
    summary="what a probe found as a whole: figures by name, and curves",
    related=("outcome",),
    public=("Figures",),
)


@dataclass(frozen=True, eq=False)
class Figures:
    """Figures by name.

    probe    the part that measured
    main     the figure that counts where only one is shown
    values   name -> number
    curves   name -> [m]: spectra, or columns of one table whose first is what was varied
    higher   whether more is better, for figures where it is not
    facts    counts and settings worth knowing

    >>> Figures("rank_me", "rank_me", {"rank_me": 3.0}).figure()
    3.0

    Raises UsageError where the main figure is not among them.
    """

    probe: str
    main: str
    values: Mapping[str, float]
    curves: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    higher: Mapping[str, bool] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.figure()

    def figure(self, name: str = "") -> float:
        """One figure, the main one unless given. Raises UsageError for one that is not there."""
        name = name or self.main
        if name not in self.values:
            raise UsageError(f"there is no figure {name!r}", remedy=f"there are {', '.join(self.values)}")
        return self.values[name]

    def figures(self) -> dict[str, float]:
        """All figures by name, the main one first."""
        return {self.main: self.values[self.main], **self.values}

    def is_better_higher(self, name: str = "") -> bool:
        """Whether more of a figure is better."""
        return self.higher.get(name or self.main, True)
