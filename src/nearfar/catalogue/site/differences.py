"""The outcome of a claim as a drawing: the paired difference of every seed, their mean with its interval, and the margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nearfar.claims.expectation import Comparison, comparisons
from nearfar.claims.record import ClaimRecord

WIDTH, ROW, TOP, BOTTOM, EDGE = 640, 92, 8, 44, 24
Place = Callable[[float], float]  # value -> place on the page
Pair = tuple[int, float, float]  # seed, and the figures of both arms


@dataclass(frozen=True)
class Compared:
    """A comparison of a record with its figures: one pair a seed; none where items are the unit, which no record holds."""

    comparison: Comparison
    told: Mapping[str, Any]
    pairs: tuple[Pair, ...]


def compared(record: ClaimRecord) -> list[Compared]:
    """The comparisons of a finished record."""
    expected = comparisons(record.claim["expect"], record.claim["arms"])
    seeds = sorted({t["seed"] for t in record.trials.values() if t["split"] == "test"})
    found = []
    for one, told in zip(expected, record.comparisons, strict=True):
        pairs: tuple[Pair, ...] = ()
        if record.claim["unit"] == "seed":
            first, second = (record.figures(a, seeds, one.metric or record.metric) for a in (one.first, one.second))
            pairs = tuple(zip(seeds, first, second, strict=True))
        found.append(Compared(one, told, pairs))
    return found


def differences(record: ClaimRecord) -> str:
    """The drawing of all comparisons, one below the other on one scale; "" for a record without an outcome."""
    found = compared(record) if record.comparisons else []
    if not found:
        return ""
    margin = float(record.claim["margin"])
    values = [0.0, margin, *(-margin for one in found if one.comparison.kind == "equal")]
    for one in found:
        values += [one.told["low"], one.told["high"], *(a - b for _, a, b in one.pairs)]
    at = _scale(min(values), max(values))
    height = TOP + ROW * len(found) + BOTTOM
    rows = "".join(_row(one, at, TOP + ROW * i, margin) for i, one in enumerate(found))
    figure = "" if any(one.comparison.metric for one in found) else f" in {record.metric}"
    told = "; ".join(_words(one) for one in found)
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(told)}">'
        f"{rows}{_axis(at, min(values), max(values), TOP + ROW * len(found), figure)}</svg>"
    )


def interval(record: ClaimRecord, number: int) -> str:
    """The interval of one comparison alone, small, for a table: nought, the margin on both sides, where the interval lies.

    All comparisons of a record have one scale.
    """
    margin, one = float(record.claim["margin"]), record.comparisons[number]
    reach = max([margin, *(abs(c[end]) for c in record.comparisons for end in ("low", "high"))]) or 1.0
    low, mean, high, edge = (56 * x / reach for x in (one["low"], one["difference"], one["high"], margin))
    return (
        '<svg class="plot small" width="120" height="20" viewBox="0 0 120 20" aria-hidden="true">'
        f'<rect class="within" x="{60 - edge:.1f}" width="{2 * edge:.1f}" y="0" height="20"/>'
        '<line class="zero" x1="60" x2="60" y1="0" y2="20"/>'
        f'<line class="interval" x1="{60 + low:.1f}" x2="{60 + high:.1f}" y1="10" y2="10"/>'
        f'<circle class="mean" cx="{60 + mean:.1f}" cy="10" r="3"/></svg>'
    )


def _scale(low: float, high: float) -> Place:
    """Value -> place on the page."""
    span = (high - low) or 1.0
    return lambda value: EDGE + (WIDTH - 2 * EDGE) * (value - low) / span


def _row(one: Compared, at: Place, y: int, margin: float) -> str:
    """One comparison: names of the sides, the margin, dots a seed, the interval."""
    first, second, equal = one.comparison.first, one.comparison.second, one.comparison.kind == "equal"
    middle, low = y + 58, y + 30
    inner = (at(-margin), at(margin)) if equal else (at(margin), WIDTH - EDGE / 2)
    made = [
        f'<text class="side" x="{EDGE}" y="{y + 18}">{escape(str(one.comparison))}</text>',
        (
            f'<text class="value" x="{WIDTH - EDGE}" y="{y + 18}">{_number(one.told["difference"])} '
            f"[{_number(one.told['low'])}, {_number(one.told['high'])}]</text>"
        ),
        (
            f'<rect class="wanted" x="{inner[0]:.1f}" width="{max(inner[1] - inner[0], 0):.1f}" y="{low}" height="{ROW - 34}">'
            f"<title>{'within' if equal else 'beyond'} the margin of {margin:g}</title></rect>"
        ),
        f'<line class="zero" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="{low}" y2="{y + ROW - 4}"/>',
    ]
    made += [
        f'<line class="margin" x1="{x:.1f}" x2="{x:.1f}" y1="{low}" y2="{y + ROW - 4}"/>'
        for x in ([at(-margin), at(margin)] if equal else [at(margin)] if margin else [])
    ]
    made += [
        f'<circle class="dot" cx="{at(x):.1f}" cy="{middle - 12 - 7 * level}" r="3.6"><title>seed {seed}: {escape(first)} {a:.4f}, '
        f"{escape(second)} {b:.4f}, difference {_number(x, 4)}</title></circle>"
        for (seed, a, b), x, level in _stacked(one.pairs, at)
    ]
    mean, ends = at(one.told["difference"]), (at(one.told["low"]), at(one.told["high"]))
    made.append(f'<line class="interval" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle + 8}" y2="{middle + 8}"/>')
    made.append(f'<circle class="mean" cx="{mean:.1f}" cy="{middle + 8}" r="5"/>')
    return "".join(made)


def _stacked(pairs: Sequence[Pair], at: Place) -> list[tuple[Pair, float, int]]:
    """Each pair with its difference and a level, so that dots of like values stand above one another."""
    ends: list[float] = []
    placed = []
    for pair in sorted(pairs, key=lambda p: p[1] - p[2]):
        x = pair[1] - pair[2]
        level = next((i for i, end in enumerate(ends) if at(x) - end >= 7.5), len(ends))
        ends[level : level + 1] = [at(x)]
        placed.append((pair, x, min(level, 2)))
    return placed


def _axis(at: Place, low: float, high: float, y: int, figure: str) -> str:
    step = _step((high - low) or 1.0)
    first, last = math.ceil(low / step), math.floor(high / step)
    ticks = "".join(
        f'<text class="tick" x="{at(i * step):.1f}" y="{y + 16}">{_number(i * step, max(0, -math.floor(math.log10(step))))}</text>'
        for i in range(first, last + 1)
    )
    line = f'<line class="axis" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}"/>'
    return f'{line}{ticks}<text class="tick name" x="{WIDTH / 2}" y="{y + 36}">difference{escape(figure)}</text>'


def _step(span: float) -> float:
    """A round distance between ticks, for four to eight of them."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(power * s for s in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (power * s) <= 8) if span else 1.0


def _number(value: float, digits: int = 3) -> str:
    """With its sign, and a real minus; nought has none."""
    text = f"{value:+.{digits}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", "\u2212")


def _words(one: Compared) -> str:
    return f"{one.comparison}: {one.told['difference']:+.3f}, 95 % interval {one.told['low']:+.3f} to {one.told['high']:+.3f}"
