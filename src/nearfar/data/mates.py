"""`Mates`: for each record another one with the same entry in a column - the same target, class, speaker - chosen by a draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar.core.errors import UsageError


@dataclass(frozen=True, eq=False)
class Mates:
    """Records sorted by a column.

    order  [n] numbers of the records, those with the same entry side by side
    place  [n] where each record stands in that order
    first  [n] where those that share the record's entry begin; size [n] how many they are
    """

    order: np.ndarray
    place: np.ndarray
    first: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray, where: str = "") -> Mates:
        """Of one whole number a record; a negative one, which means unknown, is shared with nobody.

        Raises UsageError for a column of anything else.

        >>> Mates.of(np.array([7, 8, 7, -1])).drawn(np.arange(4), np.full(4, 0.5)).tolist()
        [2, 1, 0, 3]
        """
        if column.ndim != 1 or column.dtype.kind not in "iu":
            raise UsageError(
                f"records share an entry of a column of whole numbers, not {column.dtype} of shape {list(column.shape)}",
                where=where,
                remedy="name a column of labels or ids, one a record",
            )
        order = column.argsort(kind="stable")
        ordered = column[order]
        begin = np.searchsorted(ordered, ordered, "left")
        size = np.searchsorted(ordered, ordered, "right") - begin
        begin, size = np.where(ordered < 0, np.arange(len(column)), begin), np.where(ordered < 0, 1, size)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(order, place, begin[place], size[place])

    def drawn(self, record: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """[m] a mate of each record [m], all of its mates equally likely, by draws [m] in (0, 1); itself where it has none."""
        others = self.size[record] - 1
        step = 1 + np.minimum((uniform * others).astype(np.int64), others - 1)
        at = self.first[record] + (self.place[record] - self.first[record] + step) % self.size[record]
        return self.order[at]
