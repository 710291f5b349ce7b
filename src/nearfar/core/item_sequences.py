"""Sequences of items (what a user bought, watched, played, in order), for the views and encoders that read them.

An item is a whole number from 1 up. 0 is padding, which is dropped wherever it stands; `MASKED` is an item that a view has hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.core.draws import Draws
from nearfar.core.errors import DataError
from nearfar.core.tokens import Tokens

MASKED = -1
MAX_ITEMS = 10_000_000  # of a vocabulary: an id beyond it is a hash or a typing error, and would ask for all memory

# The items of one sequence, a uniform draw for each of them, and one more for the sequence: to the new items.
Change = Callable[[list[int], list[float], float], list[int]]


def items_of(record: Any, number: int) -> list[int]:
    """The items of a record - a list, tuple or 1-d array - without padding.

    Raises DataError, where="record i", for anything that is not a sequence of whole numbers, or holds no item.
    """
    where, remedy = f"record {number}", "give a list or 1-d array of item numbers from 1 up"
    if not isinstance(record, (list, tuple, np.ndarray)):
        raise DataError(f"a sequence of items is a list, not {type(record).__name__}", where=where, remedy=remedy)
    try:
        array = np.asarray(record)
    except ValueError:  # lists of unequal lengths in a list
        array = np.asarray(None)
    if array.size and (array.ndim != 1 or array.dtype.kind not in "iu"):
        raise DataError("a sequence of items holds whole numbers and nothing else", where=where, remedy=remedy)
    items = array[array != 0] if array.size else array.reshape(-1)
    if not len(items):
        raise DataError("there is no item in this sequence", where=where, remedy="leave empty sequences out")
    if items.min() < MASKED:
        raise DataError(f"{int(items.min())} is no item", where=where, remedy=remedy)
    return items.tolist()


def highest_item(records: Iterable[Any]) -> int:
    """The size of the vocabulary: the highest item of all. Raises DataError naming the record with an impossible one."""
    highest = 0
    for number, record in enumerate(records):
        highest = max(highest, *items_of(record, number))
        if highest > MAX_ITEMS:
            raise DataError(
                f"item {highest} is above the limit of {MAX_ITEMS:,}",
                where=f"record {number}",
                remedy="number the items 1, 2, 3, ...",
            )
    return highest


def item_tokens(records: Sequence[Any], vocabulary: int, most: int) -> Tokens:
    """The latest `most` items of each record, all of them from 1 to `vocabulary` or masked. Raises DataError for another one."""
    sequences = []
    for number, record in enumerate(records):
        items = items_of(record, number)
        if max(items) > vocabulary:
            raise DataError(
                f"item {max(items)} is not among the {vocabulary:,} that the encoder was made for",
                where=f"record {number}",
                remedy=f"leave unknown items out, or fit the encoder on records that hold them (1 .. {vocabulary:,})",
            )
        sequences.append(items[-most:])
    return Tokens.of(sequences)


def table_rows(items: Int[Tensor, "n t"], vocabulary: int) -> Int[Tensor, "n t"]:
    """The rows of a table of vocabulary + 1 vectors: item i has row i - 1; masked items and padding have the last."""
    return torch.where(items > 0, items - 1, vocabulary)


def with_items_changed(records: Sequence[Any], draws: Draws, purpose: str, change: Change) -> list[Any]:
    """The sequences with `change` done to their items: lists as lists, arrays as arrays of their type; padding is dropped."""
    sequences = [items_of(record, number) for number, record in enumerate(records)]
    drawn = draws.each(purpose, [len(items) + 1 for items in sequences])
    made = []
    for record, items, draw in zip(records, sequences, drawn, strict=True):
        whole, *each = draw.tolist()
        changed = change(items, each, whole)
        made.append(np.asarray(changed, _signed(record.dtype)) if isinstance(record, np.ndarray) else changed)
    return made


def _signed(dtype: np.dtype) -> np.dtype:
    """An unsigned type has no place for `MASKED`."""
    return np.dtype(np.int64) if dtype.kind == "u" else dtype


def part_of(count: int, share: float) -> int:
    """floor(share * count), where 0.29 * 100 is 29 and not the 28.999... of binary fractions."""
    return int(share * count + 1e-9)
