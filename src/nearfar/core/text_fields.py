"""Texts as records: that a record is one, and the character between its head and its body. Encoders, views and readers agree on it here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nearfar.core.errors import DataError

FIELD = "\x1f"  # ASCII's unit separator: no text that people write holds it; Python counts it as white space


def text_of(record: Any, number: int, reader: str) -> str:
    """The record, if it is a text; `reader` is who reads it, in words. Raises DataError, where="record i", for anything else.

    >>> text_of("near and far", 0, "a view of words")
    'near and far'
    """
    if not isinstance(record, str):
        raise DataError(
            f"{reader} reads texts, not {type(record).__name__}",
            where=f"record {number}",
            remedy="choose a column of texts, or turn the values into text",
        )
    return record


def check_texts(records: Iterable[Any], reader: str) -> None:
    """Raises DataError, where="record i", for the first record that is no text."""
    for number, record in enumerate(records):
        text_of(record, number, reader)
