"""Jitter: normal noise added to every value of a series, as large as a share of how much its channel varies.

        y_tc = x_tc + sigma * std_c(x) * e_tc,    e normal,    std over the record's own steps

Papers add noise of a fixed size to series that were standardised before. Taking the spread from the record itself is the same for
those, and right for others: the unit of a sensor does not matter, and a channel that never moves stays as it is. A missing value (NaN)
stays missing. Kin: `scaling` changes the size of a channel; `noise` is its relative for sound.
Source: Um et al. 2017 (arXiv 1706.00527). sigma 0.03 as Iwana and Uchida 2021 (arXiv 2007.15951) use it; TF-C (arXiv 2206.08496)
and TS-TCC (arXiv 2106.14112) go as far as 0.8 to 2 in their code, which buries most shapes.
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
    name="jitter",
    summary="normal noise on every value of a series, relative to the spread of its channel",
    related=("scaling", "frequency_mask", "noise"),
    reads=("series",),
)


@dataclass(frozen=True)
class Jitter:
    """See `jitter`."""

    sigma: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 100:
            raise UsageError(
                f"noise of {self.sigma} times the spread",
                where="jitter.sigma",
                remedy="give sigma from 0 to 100; 0.03 is usual",
            )

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Series [t] or [t c] as series of the same shape, arrays or tensors as they were given."""
        series = [as_floats(record, i, (1, 2), "a series [t] or [t c]") for i, record in enumerate(records)]
        noises = each_normal(draws, "jitter", [one.size for one in series])
        return [
            back_to(one + (self.sigma * _spread(one)) * noise.numpy().reshape(one.shape), record)
            for one, noise, record in zip(series, noises, records, strict=True)
        ]


def _spread(series: np.ndarray) -> np.ndarray:
    """Standard deviation of each channel over what is not missing, 0 for a channel without any value: [c], or [1] of a [t]."""
    table = by_column(series)
    seen = ~np.isnan(table)
    count = seen.sum(0).clip(1)
    centred = np.where(seen, table - np.where(seen, table, 0).sum(0) / count, 0)
    return np.sqrt((centred**2).sum(0) / count)


def jitter(*, sigma: float = 0.03) -> Jitter:
    """A view of series ([t] or [t c], arrays or tensors): noise of `sigma` standard deviations of each channel.

    sigma = 0 leaves all as they are. Raises UsageError for a negative sigma, DataError for a record that is no series.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> series = np.stack([np.arange(100.0), np.ones(100)], axis=1)
    >>> (made,) = nf.jitter()([series], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> made.shape, bool((made[:, 1] == 1).all()), bool((made[:, 0] == series[:, 0]).any())
    ((100, 2), True, False)
    """
    return Jitter(sigma)
