"""What of a row a person is shown: a title, a place, some lines of text, and short columns. Rows have any columns that their makers gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = ("name", "title", "heading", "id")
TEXTS = ("summary", "text", "code", "body", "content", "answer")
SNIPPET, TITLE, FIELD = 320, 120, 80  # letters
FIELDS = 12


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """{"title", "place", "snippet", "fields"} of a row; a title or a place that it has not is "".

    >>> shown({"name": "parse", "file": "a.py", "line": 3, "text": "parse a date", "language": "python"})
    {'title': 'parse', 'place': 'a.py:3', 'snippet': 'parse a date', 'fields': {'language': 'python'}}
    """
    title = next((name for name in TITLES if isinstance(row.get(name), str) and row[name].strip()), "")
    place, used = _place(row)
    text = next((name for name in TEXTS if isinstance(row.get(name), str) and row[name].strip()), "")
    used |= {title, *TEXTS}  # a short code beside a summary is no label
    fields = {name: value for name, value in row.items() if name not in used and _short(value)}
    return {
        "title": cut(row[title], TITLE) if title else "",
        "place": place,
        "snippet": cut(row[text], SNIPPET) if text else "",
        "fields": dict(list(fields.items())[:FIELDS]),
    }


def label(row: Mapping[str, Any], letters: int) -> str:
    """One line for a row."""
    parts = shown(row)
    return cut(": ".join(part for part in (parts["title"], parts["snippet"]) if part) or parts["place"], letters)


def cut(text: str, letters: int) -> str:
    """One line of at most so many letters."""
    text = " ".join(text[: 4 * letters].split())
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "\u2026"


def _place(row: Mapping[str, Any]) -> tuple[str, set[str]]:
    if isinstance(row.get("file"), str):
        line = row.get("line")
        return (f"{row['file']}:{line}" if isinstance(line, int) else row["file"]), {"file", "line"}
    name = next((name for name in ("image", "path", "url") if isinstance(row.get(name), str)), "")
    return (str(row[name]) if name else ""), {name}


def _short(value: Any) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and 0 < len(value) <= FIELD)
