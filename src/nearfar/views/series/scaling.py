"""Scaling: each channel of a series is multiplied by a factor of its own.

        y_tc = f_c x_tc,    f_c normal with mean 1 and standard deviation sigma, one draw a channel and record

The shape stays, the size changes. A missing value (NaN) stays missing. Kin: `jitter` adds instead of multiplying.
Source: Um et al. 2017 (arXiv 1706.00527), sigma 0.1. The function of this name in the code of TS-TCC (arXiv 2106.14112), which
TF-C (arXiv 2206.08496) took over, draws a factor for each time step, with mean 2: that is multiplicative noise, no scaling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nearfar.core.arrays import Arrays, as_floats, back_to, by_column
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths.each_normal import each_normal

CARD = Card(
    name="scaling",
    summary="each channel of a series multiplied by a factor around one, drawn per record",
    related=("jitter", "frequency_mask"),
    reads=("series",),
)


@dataclass(frozen=True)
class Scaling:
    """See `scaling`."""

    sigma: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 10:
            raise UsageError(
                f"factors that spread by {self.sigma}",
                where="scaling.sigma",
                remedy="give sigma from 0 to 10; 0.1 is usual",
            )

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Series [t] or [t c] as series of the same shape, arrays or tensors as they were given."""
        series = [as_floats(record, i, (1, 2), "a series [t] or [t c]") for i, record in enumerate(records)]
        factors = each_normal(draws, "scaling", [by_column(one).shape[1] for one in series])
        return [
            back_to(one * np.asarray(1 + self.sigma * factor), record)
            for one, factor, record in zip(series, factors, records, strict=True)
        ]


def scaling(*, sigma: float = 0.1) -> Scaling:
    """A view of series ([t] or [t c], arrays or tensors): each channel times a factor of mean 1 and spread `sigma`.

    sigma = 0 leaves all as they are; with a sigma above a third some factors are negative and turn a channel over.
    Raises UsageError for a negative sigma, DataError for a record that is no series.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> (made,) = nf.scaling()([np.ones((50, 2))], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> made.std(axis=0).round(9).tolist(), bool(made[0, 0] != made[0, 1])
    ([0.0, 0.0], True)
    """
    return Scaling(sigma)
