"""Subsequences: every item of a sequence with what came before it, a record each: what next-item models are trained on.

        (a b c d)  ->  items (a), next b;   items (a b), next c;   items (a b c), next d

Records of different sequences with the same `next` are histories that led to one item. Kin: `item_crop` draws spans, without saying what
followed them.
Source: Qin et al. 2023 (arXiv 2310.14318), after Tan et al. 2016 (arXiv 1606.08117).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.item_sequences import items_of
from nearfar.data.records import Records

CARD = Card(
    name="subsequences",
    summary="every item of each sequence with what came before it, as records",
    related=("self_attention", "item_crop"),
)


def subsequences(sequences: Sequence[Any], *, least: int = 1, most: int = 50) -> Records:
    """Records with the field `items` (what came before), and the columns `next` (the item that came) and `sequence` (its number).

    sequences  lists or 1-d arrays of whole numbers from 1; 0 is padding and dropped
    least      items before the one that comes next; shorter histories are left out
    most       of a longer history the latest are kept

    Raises UsageError for numbers below 1, DataError for a record that is no sequence of items, one with a hidden item, and where no
    sequence is long enough.

    >>> made = subsequences([[5, 6, 7], [8]])
    >>> made.fields["items"], made.columns["next"].tolist(), made.columns["sequence"].tolist()
    ([[5], [5, 6]], [6, 7], [0, 0])
    """
    if least < 1 or most < 1:
        raise UsageError(
            f"histories of {least} to {most} items", where="subsequences", remedy="give 1 or more for both"
        )
    items, following, source = [], [], []
    for number, record in enumerate(sequences):
        whole = items_of(record, number)
        if min(whole) < 1:
            raise DataError("an item is hidden", where=f"record {number}", remedy="give the sequence as it was")
        for end in range(least, len(whole)):
            items.append(whole[max(0, end - most) : end])
            following.append(whole[end])
            source.append(number)
    if not items:
        raise DataError(
            f"no sequence has more than {least} items", where="subsequences", remedy="give longer ones, or lower least"
        )
    return Records({"items": items}, {"next": np.array(following), "sequence": np.array(source)})
