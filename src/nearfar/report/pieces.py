"""The smallest pieces of a page: a table, a cell with its interval, a sentence. Everything passes through `escape`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from numbers import Integral, Real

from nearfar.probes.statistics import Interval

MOST_ROWS = 200


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], ours: int = -1) -> str:
    """Rows under their columns; numbers stand to the right, and of very many rows the first are shown."""
    shown = rows[:MOST_ROWS]
    number = [_all_numbers([row[i] for row in shown]) for i in range(len(columns))]
    kind = [' class="number"' if right else "" for right in number]
    head = "".join(f"<th{k}>{escape(str(c))}</th>" for k, c in zip(kind, columns, strict=True))
    lines = [
        ('<tr class="ours">' if i == ours else "<tr>")
        + "".join(f"<td{k}>{cell(value)}</td>" for k, value in zip(kind, row, strict=True))
        + "</tr>"
        for i, row in enumerate(shown)
    ]
    left = len(rows) - len(shown)
    more = f'<p class="note">… and {left:,} more rows</p>' if left else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>{more}'
    )


def typeset(sentence: str) -> str:
    """Escaped, with real minus signs, and no line break between a number and its percent sign."""
    return escape(re.sub(r"(?<![\w.-])-(?=\d)", "\u2212", re.sub(r"(?<=\d) %", "\u00a0%", sentence)))


def _all_numbers(values: Sequence[object]) -> bool:
    present = [value for value in values if value not in ("", "\u2013", None)]
    return bool(present) and all(map(_is_number, present))


def _is_number(value: object) -> bool:
    return (isinstance(value, Real) and not isinstance(value, bool)) or _interval(value) is not None


def _interval(value: object) -> Interval | None:
    """An interval, also one that was read back from a file as a plain list of three numbers."""
    return Interval(*value) if isinstance(value, tuple | list) and len(value) == 3 else None


def cell(value: object) -> str:
    """A value as people read it; of an interval its mean, and its ends in small letters."""
    interval = _interval(value)
    if interval is not None:
        mean, low, high = interval
        return f"{mean:.3f} <small>{low:.3f} to {high:.3f}</small>"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{int(value):,}" if isinstance(value, Integral) else f"{float(value):.4g}"
    return "" if value is None else escape(str(value))
