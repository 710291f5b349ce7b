"""Cells of a file as a column of numbers: what relations, batches and probes read of a record beside its texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.ids import string_ids
from nearfar.data.record import Record


def column_of(name: str, records: Sequence[Record], texts: bool | None) -> np.ndarray:
    """Cells of a column [n]: whole numbers as int64, others as float64, texts as 63-bit ids; all as `texts` says, if it does."""
    cells = [record.values[name] for record in records]
    as_text = isinstance(cells[0], str) if texts is None else texts
    for record, cell in zip(records, cells, strict=True):
        whole = isinstance(cell, int) and -(2**63) <= cell < 2**63
        number = whole or (isinstance(cell, float) and math.isfinite(cell))
        if not (isinstance(cell, str) if as_text else number):
            raise DataError(
                f"a column of {'texts' if as_text else 'numbers'} holds {cell!r:.60}",
                where=f"{record.where}, column {name!r}",
                remedy="it takes finite numbers only, or texts only, which become ids",
            )
    if as_text:
        return string_ids(cells)
    return np.array(cells, dtype=np.int64 if all(isinstance(cell, int) for cell in cells) else np.float64)
