"""What a cell may hold: the checks that stand between a user's file and a model, one function a kind.

Each takes the raw cell and returns it converted, or raises a DataError without a place; who knows the place adds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal

from nearfar.core.errors import DataError

Kind = Literal["text", "texts", "number", "value", "any"]
MAX_TEXT = 10_000_000  # characters; a longer "text" is a broken quote or a whole file by mistake
MAX_NUMBER = 3.4028234e38  # the largest float32


def is_null(value: Any) -> bool:
    """None, a float NaN, and pandas' NA and NaT (told by name, so that pandas is not imported)."""
    nan = isinstance(value, float) and value != value
    return value is None or nan or type(value).__name__ in ("NAType", "NaTType")


def text(value: Any) -> str:
    """A text that holds more than white space and can be encoded."""
    if not isinstance(value, str):
        found = "no value (null)" if is_null(value) else f"{_named(value)}: {_short(value)}"
        raise DataError(f"a text is needed, not {found}", remedy="put a text there, or leave the record out")
    if len(value) > MAX_TEXT:
        raise DataError(
            f"a text of {len(value):,} characters; at most {MAX_TEXT:,} are taken",
            remedy="cut it into passages; in csv, look for a quote that is never closed",
        )
    if not value or value.isspace():
        raise DataError("the text is empty", remedy="fill it, or leave the record out")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the text holds half a surrogate pair at character {error.start}, which is no character",
                remedy="write the file as UTF-8 from text that was decoded correctly",
            ) from None
    return str(value)


def texts(value: Any) -> list[str]:
    """A text, a list of texts, or nothing: explicit hard negatives, of which a record may have none."""
    if is_null(value) or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, str):
        return [text(value)]
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise DataError(
            f"a text or a list of texts is needed, not {_named(value)}: {_short(value)}",
            remedy='write ["first", "second"], one text, or null',
        )
    return [text(v) for v in value]


def number(value: Any) -> float:
    """A finite number that fits 32 bits; a text is read as a number, as csv has nothing else."""
    if isinstance(value, bool) or not isinstance(value, (Real, str)) or is_null(value):
        found = "no value (null or NaN)" if is_null(value) else f"{_named(value)}: {_short(value)}"
        raise DataError(f"a number is needed, not {found}", remedy="put a number there, or leave the record out")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise DataError(f"a number is needed, not {_short(value)}", remedy="put a number there") from None
    if not math.isfinite(result) or abs(result) > MAX_NUMBER:
        raise DataError(
            f"the number {_short(value)} is not finite or does not fit 32 bits",
            remedy="put a finite number of ordinary size there, or leave the record out",
        )
    return result


def value(cell: Any) -> Any:
    """A text, or a finite number: what a column of labels, groups or scores holds."""
    if isinstance(cell, str):
        return text(cell)
    if not isinstance(cell, (int, float)) or is_null(cell) or abs(cell) == math.inf:
        found = "no value (null or NaN)" if is_null(cell) else f"{_named(cell)}: {_short(cell)}"
        raise DataError(f"a number or a text is needed, not {found}", remedy="put one there, or leave the record out")
    return cell


CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    "text": text,
    "texts": texts,
    "number": number,
    "value": value,
    "any": lambda c: c,
}
OPTIONAL: frozenset[Kind] = frozenset({"texts"})


def _named(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _short(value: Any) -> str:
    if isinstance(value, int) and not -(10**30) < value < 10**30:
        return "a whole number of more than 30 digits"  # repr of a huge one is refused by Python itself
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
