"""What probes are given, checked: tables of vectors, columns of scores and values, labels of classes.

Whatever fails names the argument and the first row at fault; nothing is dropped or filled in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.errors import DataError, UsageError


class Classes(NamedTuple):
    """Classes as whole numbers [n] in the order of their sorted `names` [c]."""

    number: NDArray[np.int64]
    names: NDArray[Any]

    def facts(self) -> dict[str, Any]:
        """For `Outcome.facts`: the names by number."""
        return {"classes": self.names.tolist()}


def vector_table(table: Any, where: str, *, length: int = -1, width: int = -1) -> NDArray[Any]:
    """Vectors [n d], float32 or float64, of `length` rows and `width` columns unless -1.

    >>> vector_table([[1, 2], [3, 4]], "vectors").shape
    (2, 2)

    Raises DataError for NaN and infinity, UsageError for another shape.
    """
    made = _numbers(table, where)
    if made.ndim != 2 or not made.size:
        raise UsageError(
            f"vectors have shape [n d], not {list(made.shape)}",
            where=where,
            remedy="give one vector a row, and some rows",
        )
    if length not in (-1, len(made)):
        raise UsageError(
            f"{len(made)} vectors stand beside {length} others", where=where, remedy="give both of every row"
        )
    if width not in (-1, made.shape[1]):
        raise UsageError(
            f"vectors of {made.shape[1]} dimensions stand beside others of {width}",
            where=where,
            remedy="encode all of them with one model",
        )
    _finite(made, where)
    return made


def value_column(values: Any, where: str, *, length: int = -1) -> NDArray[np.float64]:
    """Numbers [n] float64, finite.

    Raises DataError for NaN and infinity, UsageError for another shape or length.
    """
    made = _numbers(values, where)
    if made.ndim != 1 or not len(made):
        raise UsageError(f"shape {list(made.shape)} is not one value a record", where=where, remedy="give [n] numbers")
    _same_length(made, where, length)
    _finite(made, where)
    return made.astype(np.float64)


def varied_column(values: Any, where: str, *, length: int = -1) -> NDArray[np.float64]:
    """As `value_column`; raises DataError where all values are one, which nothing can be measured against."""
    made = value_column(values, where, length=length)
    if np.ptp(made) == 0:
        raise DataError(
            f"all {len(made)} values are {made[0]:g}", where=where, remedy="give records whose values differ"
        )
    return made


def zero_one(labels: Any, where: str, *, length: int = -1) -> NDArray[np.int64]:
    """Labels [n] of 0 and 1 (or booleans) as int64, both of which occur.

    Raises DataError for other values or one class only, UsageError for another shape or length.
    """
    made = value_column(labels, where, length=length)
    odd = np.flatnonzero((made != 0) & (made != 1))
    if len(odd):
        raise DataError(f"label {odd[0]} is {made[odd[0]]:g}", where=where, remedy="labels here are 0 or 1")
    if np.ptp(made) == 0:
        raise DataError(f"all {len(made)} labels are {made[0]:g}", where=where, remedy="give records of both classes")
    return made.astype(np.int64)


def classes(labels: Any, where: str, *, length: int = -1, least: int = 2) -> Classes:
    """Labels [n], whole numbers or strings, as class numbers; there are `least` classes.

    >>> found = classes(["cat", "dog", "cat"], "labels")
    >>> found.number.tolist(), found.names.tolist()
    ([0, 1, 0], ['cat', 'dog'])

    Raises DataError for other labels, NaN, and one class only; UsageError for another shape or length.
    """
    names, number = np.unique(_labels(labels, where, length), return_inverse=True)
    if len(names) < least:
        raise DataError(
            f"there is one class only: {names[0]!s}", where=where, remedy="give records of two classes or more"
        )
    return Classes(number.astype(np.int64), names)


def known_classes(labels: Any, names: NDArray[Any], where: str, *, length: int = -1) -> NDArray[np.int64]:
    """Labels [n] as the numbers of sorted class `names` [c].

    Raises DataError for a label that is none of them, and for what `classes` refuses, except that one class is enough.
    """
    made = _labels(labels, where, length)
    _same_kind(made, names, where)
    number = np.searchsorted(names, made).clip(0, len(names) - 1)
    strange = np.flatnonzero(names[number] != made)
    if len(strange):
        raise DataError(
            f"label {made[strange[0]]!s} of record {strange[0]} is none of the {len(names)} known classes",
            where=where,
            remedy="give each class something to learn it from, or leave its records out",
        )
    return number.astype(np.int64)


def joint_classes(
    train: Any, test: Any, sizes: tuple[int, int], where: str = "labels"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of training and test rows as numbers that both share; test rows may have classes of their own.

    >>> [codes.tolist() for codes in joint_classes(["b", "a"], ["b"], (2, 1))]
    [[1, 0], [1]]

    Raises what `classes` raises, but for one class only.
    """
    first, second = _labels(train, f"train_{where}", sizes[0]), _labels(test, where, sizes[1])
    _same_kind(second, first, where)
    number = np.unique(np.concatenate([first, second]), return_inverse=True)[1].astype(np.int64)
    return number[: len(first)], number[len(first) :]


def pair_scores(scores: Any, where: str) -> NDArray[np.float64]:
    """Scores [n] as they are, or the cosines of two tables of vectors ([n d], [n d]), row by row.

    >>> pair_scores(([[1.0, 0.0]], [[3.0, 4.0]]), "scores").tolist()
    [0.6]
    """
    if not (isinstance(scores, tuple) and len(scores) == 2):
        return value_column(scores, where)
    first = vector_table(scores[0], f"{where}[0]")
    second = vector_table(scores[1], f"{where}[1]", length=len(first), width=first.shape[1])
    return np.einsum("nd,nd->n", unit_rows(first).astype(np.float64), unit_rows(second).astype(np.float64))


def unit_rows(table: NDArray[Any]) -> NDArray[Any]:
    """Each row [n d] over its length; a row of zeros stays. Rows whose squares would overflow or vanish are none the worse.

    >>> unit_rows(np.array([[3e200, 4e200], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    largest = np.abs(table).max(1, keepdims=True)
    scaled = table / np.where(largest > 0, largest, 1)
    length = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    return scaled / np.where(length > 0, length, 1)


def unit_float32(table: NDArray[Any]) -> NDArray[np.float32]:
    """`unit_rows` for exact search, which takes float32."""
    return np.ascontiguousarray(unit_rows(table), dtype=np.float32)


def at_least(value: int, least: int, most: int, where: str, what: str) -> None:
    """Raises UsageError for a number outside least ... most; `what` says what it counts."""
    if not least <= value <= most:
        raise UsageError(
            f"{value} {what}, where {least} to {most} are possible", where=where, remedy="choose another number"
        )


def _numbers(values: Any, where: str) -> NDArray[Any]:
    remedy = "give numbers: an array, a tensor or equally long lists"
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()
        made = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"no array of numbers: {error}", where=where, remedy=remedy) from error
    if made.dtype.kind not in "fiub":
        raise DataError(f"an array of {made.dtype} is not one of numbers", where=where, remedy=remedy)
    return made if made.dtype in (np.float32, np.float64) else made.astype(np.float64)


def _finite(made: NDArray[Any], where: str) -> None:
    bad = np.argwhere(~np.isfinite(made))
    if len(bad):
        raise DataError(
            f"{len(bad)} values are NaN or infinite, the first in row {bad[0][0]}",
            where=where,
            remedy="look for a model that diverged in training, or an empty record",
        )


def _labels(labels: Any, where: str, length: int) -> NDArray[Any]:
    made = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if made.dtype == object and made.ndim == 1 and all(isinstance(label, str) for label in made):
        made = made.astype(np.str_)
    if made.ndim != 1 or not len(made):
        raise UsageError(f"shape {list(made.shape)} is not one label a record", where=where, remedy="give [n] labels")
    _same_length(made, where, length)
    if made.dtype.kind == "f":
        _finite(made, where)
        whole = made == np.floor(made)
        if not whole.all():
            raise DataError(
                f"label {made[~whole][0]:g} is no class", where=where, remedy="give whole numbers or strings"
            )
        made = made.astype(np.int64)
    if made.dtype.kind not in "iubU" or (
        made.dtype.kind == "U" and not all(isinstance(label, str) for label in labels)
    ):
        raise DataError(
            f"labels of {made.dtype} are mixed or no classes",
            where=where,
            remedy="give whole numbers or strings, and no gaps",
        )
    return made


def _same_kind(made: NDArray[Any], names: NDArray[Any], where: str) -> None:
    if (made.dtype.kind == "U") != (names.dtype.kind == "U"):
        raise DataError(
            f"labels like {made[0]!s} cannot be classes like {names[0]!s}",
            where=where,
            remedy="use numbers or strings in both",
        )


def _same_length(made: NDArray[Any], where: str, length: int) -> None:
    if length not in (-1, len(made)):
        raise UsageError(f"{len(made)} of them stand beside {length} records", where=where, remedy="give one a record")
