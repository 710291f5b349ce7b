"""Picture bag: a picture and others that are drawn beside it, as one record, for encoders that look at several pictures at once.

        x_i  ->  (x_i, x_j1, ..., x_jm),   m = size - 1,   j uniform over all training pictures

A method that puts pieces of several pictures into one (`montage_network`) makes them depend on one another; then all of them are one
record, which is never cut. The batch is not drawn from, since a record's view must not depend on its batch mates; that a picture
comes twice is possible, and rare among many.
It is shown all training records once, as `marginal_swap` is. It must be the first view: it makes records of another kind.
Source: our way to have montages of a batch (Chen et al. 2021, arXiv 2104.00323) as records; there the whole batch is one bag.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError

CARD = Card(
    name="picture_bag",
    summary="a picture and others that are drawn beside it, as one record",
    related=("montage_network", "marginal_swap"),
    reads=("image",),
)


@dataclass(frozen=True, eq=False)
class PictureBag:
    """See `picture_bag`."""

    size: int
    others: Sequence[Any] | None
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"bags of {self.size} pictures", where="picture_bag.size", remedy="give one at least")

    def bind(self, records: Sequence[Any]) -> PictureBag:
        """The same view, drawing from these pictures. Raises DataError for none."""
        if not len(records):
            raise DataError("there is no picture to draw", where="picture_bag", remedy="give the training pictures")
        return PictureBag(self.size, records)

    def __call__(self, records: Sequence[Any], draws: Draws) -> list[Any]:
        """Pictures of any kind as tuples of `size` pictures, the own one first. Raises UsageError for a view that was not bound."""
        if self.others is None:
            raise UsageError(
                "picture_bag has no pictures to draw from", where="picture_bag", remedy="view = view.bind(records)"
            )
        places = draws.integers("picture_bag", len(self.others), max(1, self.size - 1)).tolist()
        made = []
        for number, (own, drawn) in enumerate(zip(records, places, strict=True)):
            if not _is_picture(own):
                raise DataError(
                    f"a {type(own).__name__} is no picture",
                    where=f"record {number}",
                    remedy="give paths, Pillow images or arrays, and this view first",
                )
            made.append((own, *(self.others[place] for place in drawn[: self.size - 1])))
        return made


def _is_picture(record: Any) -> bool:
    kinds = (str, os.PathLike, bytes, bytearray, Mapping, np.ndarray, Tensor)
    return isinstance(record, kinds) or hasattr(record, "convert")


def picture_bag(*, size: int = 16) -> PictureBag:
    """A view of pictures (paths, Pillow images, arrays) that gives tuples of `size` of them.

    Raises UsageError for a size below one and for a view that was not bound, DataError for what is no picture.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> view = nf.picture_bag(size=3).bind(["a.png", "b.png", "c.png"])
    >>> (made,) = view(["b.png"], Draws(0, epoch=0, record=torch.tensor([1])))
    >>> made[0], len(made)
    ('b.png', 3)
    """
    return PictureBag(size, None)
