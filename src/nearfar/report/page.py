"""A report as one HTML file: no network, no other file, no script but that of a map; it opens anywhere and can be mailed.

    write(Report("Code search", verdict="...", sections=[Curve("Learning curve", x=steps, loss=losses)]), "report.html")

Everything that comes from data passes through `escape`. The page also forbids itself, by its content security policy,
to load anything, and to run anything but the one script of ours that it holds, which the policy knows by its hash.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from nearfar.core.files import write_text
from nearfar.report import plots
from nearfar.report.highlight import highlighted
from nearfar.report.map import MAP_BYTES, map_html, script, script_hash
from nearfar.report.map_style import MAP_CSS
from nearfar.report.pieces import cell, table, typeset
from nearfar.report.queries import findings, queries
from nearfar.report.sections import (
    Comparison,
    Curve,
    Findings,
    Histogram,
    Map,
    Queries,
    Report,
    Search,
    Searches,
    Section,
    Spectrum,
)
from nearfar.report.style import CSS, LENS, MARK

MOST_QUERY = 600
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render(report: Report) -> str:
    """The page as text. The same report gives the same text."""
    body = [_header(report), "<main>"]
    figures, maps = 0, sum(isinstance(section, Map) for section in report.sections)
    for number, section in enumerate(report.sections, 1):
        name = f"s{number}"
        kind = ' class="wide-section"' if isinstance(section, Map) else ""
        body.append(f'<section id="{name}"{kind}><h2>{escape(section.title)}</h2>')
        if isinstance(section, Curve | Histogram | Comparison | Spectrum):
            figures += 1
        body.append(_section(section, name, figures, MAP_BYTES // max(1, maps)))
        body.append("</section>")
    body.append(f"</main><footer>{escape(report.footer)}</footer>" if report.footer else "</main>")
    policy, css = _POLICY, CSS
    if maps:
        policy, css = f"{_POLICY}; script-src '{script_hash()}'", CSS + MAP_CSS
        body.append(f"<script>{script()}</script>")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(report.title)}</title><link rel="icon" href="data:,">',
            f"<style>{css}</style></head><body>",
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
        parts.append(f'<p class="verdict{kind}">{typeset(report.verdict)}</p>')
    if report.facts:
        tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{cell(v)}</dd></div>" for k, v in report.facts.items())
        columns = next((n for n in (5, 4, 3) if len(report.facts) % n == 0), min(4, len(report.facts)))  # no orphan
        parts.append(f'<dl class="facts" style="--columns:{columns}">{tiles}</dl>')
    return "".join([*parts, "</header>"])


def _section(section: Section, name: str, figure: int, map_bytes: int) -> str:
    if isinstance(section, Curve):
        return _figure(plots.curve(section, name), section.note, figure)
    if isinstance(section, Histogram):
        return _figure(plots.histogram(section, name), section.note, figure)
    if isinstance(section, Comparison):
        return _comparison(section, name, figure)
    if isinstance(section, Spectrum):
        return _figure(plots.spectrum(section, name), section.note, figure)
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    if isinstance(section, Map):
        return map_html(section, name, map_bytes) + note
    if isinstance(section, Queries):
        return queries(section) + note
    if isinstance(section, Findings):
        return findings(section) + note
    if isinstance(section, Searches):
        return note + "".join(_search(search) for search in section.searches)
    shown = table(section.columns, section.rows) + note
    count = f'<span class="hit">{len(section.rows):,} rows</span>'
    return f'<details class="fold"><summary>{count}</summary>{shown}</details>' if section.folded else shown


def _figure(drawing: str, note: str, number: int) -> str:
    caption = f" {escape(note)}" if note else ""
    return f"<figure>{drawing}<figcaption><b>Figure {number}.</b>{caption}</figcaption></figure>"


def _comparison(section: Comparison, name: str, figure: int) -> str:
    systems = list(dict.fromkeys(system for values in section.metrics.values() for system in values))
    rows = [[system, *(values.get(system, "\u2013") for values in section.metrics.values())] for system in systems]
    ours = systems.index(section.highlight) if section.highlight in systems else -1
    parts = [
        _figure(plots.comparison(section, name), section.note, figure),
        table(["system", *section.metrics], rows, ours=ours),
    ]
    if section.differences:
        parts.append('<div class="scroll">' + plots.differences(list(section.differences), f"{name}d") + "</div>")
        items = [
            f'<li class="{d.paired.verdict}">{escape(d.metric)}: {typeset(d.paired.sentence(d.ours, d.rival))}</li>'
            for d in section.differences
        ]
        parts.append(f'<ul class="findings">{"".join(items)}</ul>')
    return "".join(parts)


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
