"""Series crop: a piece of a series, its length and place drawn per record.

        y = x[a : a + l],    l uniform in { floor(share T) + 1, ..., T },    a uniform in { 0, ..., T - l }

With the default each piece is longer than half of the series, so that any two views of a record have steps in common: what TS2Vec
demands of its two crops, which it draws together. There the steps in common are contrasted one by one; here a record is
one vector, and an overlap is what makes two pieces say the same thing. Kin: `time_mask` removes spans inside.
Source: Yue et al. 2022 (TS2Vec, arXiv 2106.10466), crops of any length that overlap; the share is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from nearfar.core.arrays import Arrays, as_floats, back_to
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.views.shared.options import check_share

CARD = Card(
    name="series_crop",
    summary="a piece of a series, longer than a share of it, its length and place drawn per record",
    related=("jitter", "time_mask"),
    reads=("series",),
)


@dataclass(frozen=True)
class SeriesCrop:
    """See `series_crop`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Series [t] or [t c] as series [l] or [l c], arrays or tensors as they were given."""
        series = [as_floats(record, i, (1, 2), "a series [t] or [t c]") for i, record in enumerate(records)]
        whole = torch.tensor([len(one) for one in series], dtype=torch.long)
        least = ((whole * self.share).long() + 1).minimum(whole)
        length = least + draws.integers("series_crop, length", whole - least + 1)
        start = draws.integers("series_crop, place", whole - length + 1)
        return [
            back_to(one[first : first + size].copy(), record)
            for one, first, size, record in zip(series, start.tolist(), length.tolist(), records, strict=True)
        ]


def series_crop(*, share: float = 0.5) -> SeriesCrop:
    """A view of series ([t] or [t c], arrays or tensors): a piece of each, longer than `share` of it.

    Never empty: a piece has at least one step. share = 1 leaves all as they are.
    Raises UsageError for a share that is none, DataError for a record that is no series.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> (made,) = nf.series_crop()([np.arange(100.0)], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> bool(len(made) > 50), bool((np.diff(made) == 1).all())
    (True, True)
    """
    return SeriesCrop(share)
