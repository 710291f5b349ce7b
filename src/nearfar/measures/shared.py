"""What several measures do: vectors of a part's records, by the model's side that reads the field; who belongs to whom."""

from __future__ import annotations

import numpy as np

from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.data.records import Records


def encoded(model: Model, records: Records, field: str = "") -> np.ndarray:
    """Vectors [n d] of the records' field; the first that the records and the model's sides share, unless given.

    Raises UsageError where there is none.
    """
    shared = [side for side in model.sides if side in records.fields]
    if not field and not shared and len(records.fields) == 1:
        field = next(iter(records.fields))  # two streams of one field have names of their own
    field = field or (shared[0] if shared else "")
    if field not in records.fields:
        raise UsageError(
            f"the records have no field {field!r} that the model reads",
            where="measure.field",
            remedy=f"the fields are {', '.join(records.fields)}, the model's sides {', '.join(model.sides)}",
        )
    side = field if field in model.sides else next(iter(model.sides))
    return model.encode(records.many(field, range(len(records))), side=side)


def partners(records: Records, field: str) -> list[np.ndarray]:
    """The records that are right answers to each: itself, and those with equal ids where the field has a column of them."""
    ids = records.columns.get(field, np.arange(len(records)))
    return [(ids == mine).nonzero()[0] for mine in ids]
