"""A report as one HTML file: no network, no script, no other file; it opens anywhere and can be mailed.

    write(Report("Code search", verdict="...", sections=[Curve("Learning curve", x=steps, loss=losses)]), "report.html")

Everything that comes from data passes through `escape`. The page also forbids itself, by its content security policy,
to run or load anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from numbers import Integral, Real
from pathlib import Path

from nearfar.core.files import write_text
from nearfar.probes.statistics import Interval
from nearfar.report import plots
from nearfar.report.highlight import highlighted
from nearfar.report.sections import Comparison, Curve, Histogram, Report, Search, Searches, Section
from nearfar.report.style import CSS, LENS, MARK

MOST_ROWS, MOST_QUERY = 200, 600
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(report: Report) -> str:
    """The page as text. The same report gives the same text."""
    body = [_header(report), "<main>"]
    figures = 0
    for number, section in enumerate(report.sections, 1):
        name = f"s{number}"
        body.append(f'<section id="{name}"><h2>{escape(section.title)}</h2>')
        if isinstance(section, Curve | Histogram | Comparison):
            figures += 1
        body.append(_section(section, name, figures))
        body.append("</section>")
    body.append(f"</main><footer>{escape(report.footer)}</footer>" if report.footer else "</main>")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(report.title)}</title><link rel="icon" href="data:,">',
            f"<style>{CSS}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def write(report: Report, path: str | os.PathLike[str]) -> Path:
    """Render to `path`, all or nothing: a reader, or a run that dies, never meets half a page.

    Raises ResourceError if the place cannot be written.
    """
    path = Path(path)
    page = render(report).encode("utf-8", "replace").decode("utf-8")  # code may hold lone surrogates; UTF-8 has none
    write_text(path, page)
    return path


def _header(report: Report) -> str:
    parts = [f'<header><div class="brand">{MARK}nearfar</div><h1>{escape(report.title)}</h1>']
    if report.subtitle:
        parts.append(f'<p class="subtitle">{escape(report.subtitle)}</p>')
    if report.verdict:
        kind = "" if report.good is None else " good" if report.good else " bad"
        parts.append(f'<p class="verdict{kind}">{_typeset(report.verdict)}</p>')
    if report.facts:
        tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{_cell(v)}</dd></div>" for k, v in report.facts.items())
        columns = next((n for n in (5, 4, 3) if len(report.facts) % n == 0), min(4, len(report.facts)))  # no orphan
        parts.append(f'<dl class="facts" style="--columns:{columns}">{tiles}</dl>')
    return "".join([*parts, "</header>"])


def _section(section: Section, name: str, figure: int) -> str:
    if isinstance(section, Curve):
        return _figure(plots.curve(section, name), section.note, figure)
    if isinstance(section, Histogram):
        return _figure(plots.histogram(section, name), section.note, figure)
    if isinstance(section, Comparison):
        return _comparison(section, name, figure)
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    if isinstance(section, Searches):
        return note + "".join(_search(search) for search in section.searches)
    return _table(section.columns, section.rows) + note


def _figure(drawing: str, note: str, number: int) -> str:
    caption = f" {escape(note)}" if note else ""
    return f"<figure>{drawing}<figcaption><b>Figure {number}.</b>{caption}</figcaption></figure>"


def _comparison(section: Comparison, name: str, figure: int) -> str:
    systems = list(dict.fromkeys(system for values in section.metrics.values() for system in values))
    rows = [[system, *(values.get(system, "\u2013") for values in section.metrics.values())] for system in systems]
    ours = systems.index(section.highlight) if section.highlight in systems else -1
    parts = [
        _figure(plots.comparison(section, name), section.note, figure),
        _table(["system", *section.metrics], rows, ours=ours),
    ]
    if section.differences:
        parts.append('<div class="scroll">' + plots.differences(list(section.differences), f"{name}d") + "</div>")
        items = [
            f'<li class="{d.paired.verdict}">{escape(d.metric)}: {_typeset(d.paired.sentence(d.ours, d.rival))}</li>'
            for d in section.differences
        ]
        parts.append(f'<ul class="findings">{"".join(items)}</ul>')
    return "".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], ours: int = -1) -> str:
    shown = rows[:MOST_ROWS]
    number = [_all_numbers([row[i] for row in shown]) for i in range(len(columns))]
    kind = [' class="number"' if right else "" for right in number]
    head = "".join(f"<th{k}>{escape(str(c))}</th>" for k, c in zip(kind, columns, strict=True))
    lines = [
        ('<tr class="ours">' if i == ours else "<tr>")
        + "".join(f"<td{k}>{_cell(value)}</td>" for k, value in zip(kind, row, strict=True))
        + "</tr>"
        for i, row in enumerate(shown)
    ]
    left = len(rows) - len(shown)
    more = f'<p class="note">… and {left:,} more rows</p>' if left else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>{more}'
    )


def _search(search: Search) -> str:
    query = search.query if len(search.query) <= MOST_QUERY else search.query[: MOST_QUERY - 1] + "…"
    hits = []
    for rank, hit in enumerate(search.hits, 1):
        badge = '<span class="badge">the right one</span>' if hit.correct else ""
        hits.append(
            f"<details{' open' if rank == 1 else ''}><summary>"
            f'<span class="hit"><span class="title">{escape(hit.title)}</span>{badge}'
            f'<span class="where">{escape(hit.where)}</span></span><span class="score">{hit.score:.3f}</span></summary>'
            f"<pre><code>{highlighted(hit.code, hit.language)}</code></pre></details>"
        )
    return f'<div class="search"><div class="query">{LENS}<span>{escape(query)}</span></div>{"".join(hits)}</div>'


def _typeset(sentence: str) -> str:
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


def _cell(value: object) -> str:
    interval = _interval(value)
    if interval is not None:
        mean, low, high = interval
        return f"{mean:.3f} <small>{low:.3f} to {high:.3f}</small>"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{int(value):,}" if isinstance(value, Integral) else f"{float(value):.4g}"
    return "" if value is None else escape(str(value))
