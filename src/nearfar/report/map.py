"""The map of an embedding as HTML: a canvas, its controls, and its data as one element of JSON that `map.js` reads.

Numbers are quantised to 16 bits (cosines to 8) and stand in base64; texts are cut so that 10,000 points stay far below a megabyte.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.errors import UsageError
from nearfar.report.sections import Map

MOST_POINTS = 10_000
MAP_BYTES = 700_000  # all maps of a page together; their texts are cut to what the numbers leave
SHORTEST, LONGEST = 24, 240  # bytes of one text, where there are many or few points
CATEGORIES = 400  # of a column; further ones are "others"
COLUMNS = 8
NONE = 0xFFFF  # no neighbour, no value


@cache
def script() -> str:
    """The one script of the page."""
    return Path(__file__).with_name("map.js").read_text("utf-8")


def script_hash() -> str:
    """What the content security policy lets run: exactly `script()`."""
    return "sha256-" + base64.b64encode(sha256(script().encode()).digest()).decode()


def map_html(section: Map, name: str, most: int = MAP_BYTES) -> str:
    """Controls, canvas, legend and data, the data in about `most` bytes. Raises UsageError for more than 10,000 points or arrays that do not fit."""
    _check(section)
    columns = list(section.columns)[:COLUMNS]
    chosen = columns.index(section.color_by) if section.color_by in columns else -1
    options = "".join(
        f'<option value="{i}"{" selected" if i == chosen else ""}>{escape(column)}</option>'
        for i, column in [(-1, "one colour"), *enumerate(columns)]
    )
    colour = f'<label>colour <select aria-controls="{name}-canvas">{options}</select></label>'
    label = (
        f"Map of {len(section.texts):,} points, by {section.method}. Arrow keys move, plus and minus zoom, Enter picks"
    )
    zoom = "".join(
        f'<button type="button" data-do="{do}" title="{title}" aria-label="{title}">{_icon(drawn)}</button>'
        for do, title, drawn in (
            ("in", "zoom in", "M8 3v10M3 8h10"),
            ("out", "zoom out", "M3 8h10"),
            ("fit", "show all", "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3"),
        )
    )
    return (
        f'<div class="map"><div class="map-bar">'
        f'<label class="map-search">search <input type="search" autocomplete="off" spellcheck="false" '
        f'placeholder="part of a text" aria-controls="{name}-canvas"></label><output aria-live="polite"></output>{colour}'
        f'</div><div class="map-body"><div class="map-stage"><canvas id="{name}-canvas" tabindex="0" role="img" '
        f'aria-label="{escape(label)}"></canvas><div class="map-zoom">{zoom}</div><div class="map-tip" hidden></div></div>'
        f'<div class="map-side"><div class="map-legend"></div><div class="map-picked" aria-live="polite"></div></div></div>'
        f'<p class="map-keys">Wheel or pinch zooms, drag moves, a click picks. Keys on the map: <kbd>\u2190\u2191\u2192\u2193</kbd> move, '
        f"<kbd>+</kbd> <kbd>\u2212</kbd> zoom, <kbd>0</kbd> all, <kbd>Enter</kbd> picks in the middle, "
        f"<kbd>n</kbd> next match, <kbd>/</kbd> search, <kbd>Esc</kbd> lets go.</p>"
        f"<noscript><p>The map is drawn by a script, and this browser runs none.</p></noscript>"
        f'<script type="application/json">{for_element(packed(section, columns, chosen, most))}</script></div>'
    )


def _icon(drawn: str) -> str:
    return (
        '<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true">'
        f'<path d="{drawn}"/></svg>'
    )


def for_element(data: Any) -> str:
    """JSON that cannot end the element it stands in, nor begin another one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate would not survive the file


def packed(section: Map, columns: Sequence[str], chosen: int, most: int = MAP_BYTES) -> dict[str, Any]:
    """What `map.js` reads: numbers as base64 of little-endian integers, texts as they are."""
    n = len(section.texts)
    cosines = np.asarray(section.similarities, dtype=np.float64)
    known = cosines[np.asarray(section.neighbours) >= 0]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    steps = np.clip(np.rint((cosines - low) / max(high - low, 1e-9) * 255), 0, 255)
    near = np.where(np.asarray(section.neighbours) < 0, NONE, section.neighbours)
    numbers = {
        "points": _base64(_square(np.asarray(section.points, dtype=np.float64)), "<u2"),
        "k": int(near.shape[1]),
        "neighbours": _base64(near, "<u2"),
        "similarities": _base64(steps, "u1"),
        "low": round(low, 4),
        "high": round(high, 4),
        "columns": [_column(name, section.columns[name]) for name in columns],
        "color": chosen,
    }
    left = most - len(json.dumps(numbers))
    letters = min(LONGEST, max(SHORTEST, left // n))
    return {**numbers, "texts": [cut(text, letters) for text in section.texts]}


def cut(text: str, most: int) -> str:
    """One line of `text`, of at most `most` bytes as JSON on the page."""
    text = " ".join(text[: 4 * most].split())
    size, whole = _size(text), text
    kept = len(text)
    while size > most and kept:
        kept = min(kept - 1, kept * (most - 3) // size)
        size = _size(text[:kept]) + 3
    return whole if kept == len(whole) else whole[:kept].rstrip() + "\u2026"


def _size(text: str) -> int:
    return len(for_element(text).encode()) - 2


def _square(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both axes on one scale, 0 to 65,535, in the middle."""
    low, high = points.min(0), points.max(0)
    span = max(float((high - low).max()), 1e-12)
    return np.rint((points - (low + high) / 2) / span * 65_000 + 32_767)


def _column(name: str, values: Sequence[str] | NDArray[Any]) -> dict[str, Any]:
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return {"name": name, **_numbers(array)}
    texts = [str(value) for value in values]
    counts = Counter(texts)
    labels = sorted(counts, key=_natural)
    if len(labels) > CATEGORIES:
        kept = {label for label, _ in counts.most_common(CATEGORIES - 1)}
        texts = [text if text in kept else "others" for text in texts]
        labels = sorted(set(texts), key=_natural)
    place = {label: i for i, label in enumerate(labels)}
    return {"name": name, "labels": [cut(x, 60) for x in labels], "codes": _base64([place[t] for t in texts], "<u2")}


def _numbers(array: NDArray[Any]) -> dict[str, Any]:
    """Quantised, on a logarithmic scale where a few large ones would leave all others one colour."""
    real = array.astype(np.float64)
    known = np.isfinite(real)
    seen = real[known] if known.any() else np.zeros(1)
    whole = bool(np.all(seen == np.rint(seen)))
    log = bool(seen.min() >= 0 and seen.max() > 20 * max(float(np.median(seen)), 1e-12))
    scaled = np.log1p(np.where(known, real, 0)) if log else np.where(known, real, 0)
    low, high = float(scaled[known].min(initial=np.inf)), float(scaled[known].max(initial=-np.inf))
    low, high = (low, high) if low <= high else (0.0, 0.0)
    codes = np.where(known, np.rint((scaled - low) / max(high - low, 1e-300) * (NONE - 1)), NONE)
    return {"codes": _base64(codes, "<u2"), "low": low, "high": high, "whole": whole, "log": log}


def _natural(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _base64(values: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(np.asarray(values).astype(kind)).tobytes()).decode()


def _check(section: Map) -> None:
    n = len(section.texts)
    shapes = {"points": np.shape(section.points), "neighbours": np.shape(section.neighbours)}
    lengths = {name: len(values) for name, values in section.columns.items()}
    bad = [name for name, size in lengths.items() if size != n]
    if not 0 < n <= MOST_POINTS:
        raise UsageError(
            f"a map of {n:,} points", where=section.title, remedy=f"give 1 to {MOST_POINTS:,}: a sample shows as much"
        )
    if shapes["points"] != (n, 2) or shapes["neighbours"][:1] != (n,) or bad:
        raise UsageError(
            f"{n} texts do not fit {shapes | {name: lengths[name] for name in bad}}",
            where=section.title,
            remedy="give points [n 2], neighbours [n k], and columns [n]",
        )
    if not np.isfinite(section.points).all():
        raise UsageError("a point of the map is no number", where=section.title, remedy="leave such records out")
