"""The smallest pieces of a page: escaped text, links, tables, code. Everything that comes from a file passes through `escape`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from nearfar.catalogue.site.prose import inline
from nearfar.core.parts import Part
from nearfar.report.highlight import coloured

VERDICTS = {"reproduced": "good", "contradicted": "bad", "not reproduced": "open"}


def anchor(text: str) -> str:
    """The id of a heading, as links in markdown name it.

    >>> anchor("Look at *it*, `now`")
    'look-at-it-now'
    """
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def heading(level: int, text: str) -> str:
    """A heading that can be linked to."""
    name = anchor(text)
    return f'<h{level} id="{name}"><a class="anchor" href="#{name}">{escape(text)}</a></h{level}>'


def named(name: str, links: Mapping[str, str]) -> str:
    """A name in code, linked to its page if it has one."""
    code = f"<code>{escape(name)}</code>"
    return f'<a href="{links[name]}">{code}</a>' if name in links else code


def listed(names: Sequence[str], links: Mapping[str, str]) -> str:
    """Names one after the other."""
    return ", ".join(named(name, links) for name in names)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "", numbers: Sequence[int] = ()) -> str:
    """Rows of HTML under their columns; of `numbers` the columns stand to the right. No columns: no head."""
    css = ['class="number"' if i in numbers else "" for i in range(max(map(len, rows), default=0))]
    head = "".join(f"<th {css[i]}>{escape(c)}</th>" for i, c in enumerate(columns)) if columns and rows else ""
    body = "".join("<tr>" + "".join(f"<td {css[i]}>{c}</td>" for i, c in enumerate(row)) + "</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'.replace(
        "<td >", "<td>"
    )


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, as HTML, those without anything left out."""
    told = "".join(f"<dt>{escape(key)}</dt><dd>{value}</dd>" for key, value in rows if value)
    return f'<dl class="facts">{told}</dl>' if told else ""


def code(text: str, language: str = "python") -> str:
    """A block of code with a little colour."""
    return f"<pre><code>{coloured(text, language)}</code></pre>"


def folded(summary: str, body: str) -> str:
    """What only some readers want to see."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def chip(text: str, kind: str = "") -> str:
    """A word in a frame."""
    return f'<span class="chip {kind}">{escape(text)}</span>' if kind else f'<span class="chip">{escape(text)}</span>'


def verdict(word: str) -> str:
    """A verdict as a chip; "" is a claim that was not run, "unfinished" one that was not run to its end."""
    shown = {"": "not run yet", "not reproduced": "not reproduced at this scale"}.get(word, word)
    return chip(shown, VERDICTS.get(word, ""))


def summary_rows(parts: Sequence[Part], links: Mapping[str, str]) -> list[list[str]]:
    """Name and summary of each part, for a table."""
    return [[named(part.name, links), inline(part.card.summary, {})] for part in parts]
