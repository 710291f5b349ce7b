"""A column of one number a record, or an error that says what there is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearfar.core.errors import UsageError


def number_column(columns: Mapping[str, np.ndarray], name: str, records: int) -> np.ndarray:
    """The column [n], labels say, of so many records. Raises UsageError for one that is not there or has another shape.

    >>> number_column({"label": np.array([0, 1])}, "label", 2).tolist()
    [0, 1]
    """
    if name not in columns or columns[name].shape != (records,):
        raise UsageError(
            f"there is no column {name!r} of one number for each of {records:,} records",
            where=name,
            remedy=f"there are {', '.join(columns) or 'none'}; a refresh that writes it goes before this one",
        )
    return columns[name]
