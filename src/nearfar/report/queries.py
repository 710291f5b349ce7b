"""Single queries and what the doctor found, as HTML."""

from __future__ import annotations

from html import escape

from nearfar.report.pieces import typeset
from nearfar.report.sections import Answered, Findings, Queries

MOST_TEXT = 400


def queries(section: Queries) -> str:
    """Groups side by side where there is room."""
    groups = [
        f"<div><h3>{escape(name)}</h3>{''.join(map(_answered, answered))}</div>"
        for name, answered in section.groups.items()
        if answered
    ]
    return f'<div class="asked">{"".join(groups)}</div>' if groups else '<p class="note">No query was measured.</p>'


def findings(section: Findings) -> str:
    """What is wrong, why, and what to do; that nothing is, where nothing is."""
    parts = [
        f'<div class="finding {finding.severity}"><h3>{finding.severity}: {escape(finding.name.replace("_", " "))}</h3>'
        f"<p>{typeset(finding.what)}</p><p><b>why</b> {typeset(finding.cause)}</p><p><b>do</b> {typeset(finding.remedy)}</p>"
        f'<p class="where">{escape(finding.stage + ", " if finding.stage else "")}steps {finding.where[0]:,} to {finding.where[1]:,}'
        "</p></div>"
        for finding in section.findings
    ]
    if not parts:
        parts = ['<div class="finding fine"><p>Nothing is wrong, as far as it was measured.</p></div>']
    if section.unmeasured:
        parts.append(f'<p class="note">Not measured: {escape(", ".join(section.unmeasured))}.</p>')
    return "".join(parts)


def _answered(answered: Answered) -> str:
    rank = f"rank {answered.rank:,}" + _score(answered.score)
    lines = [f"<dt>{rank}</dt><dd>{escape(_cut(answered.right))}</dd>"]
    if answered.instead:
        lines.append(f"<dt>first{_score(answered.instead_score)}</dt><dd>{escape(_cut(answered.instead))}</dd>")
    if answered.rival is not None:
        lines.append(f"<dt>rank {answered.rival[1]:,}</dt><dd>by {escape(answered.rival[0])}</dd>")
    return f'<article><p class="ask">{escape(_cut(answered.query))}</p><dl>{"".join(lines)}</dl></article>'


def _score(score: float | None) -> str:
    return "" if score is None else f"<br>{score:.2f}".replace("-", "\u2212")


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
