"""Pages of source files: those of all parts, and those that the documents link to."""

from __future__ import annotations

import re
from html import escape
from keyword import kwlist
from pathlib import Path

from nearfar.catalogue.site.pieces import code
from nearfar.core.parts import Part

LANGUAGES = {".cff": "yaml", ".toml": "toml", ".json": "json", ".md": "markdown", ".sh": "bash"}
_STRING = r"""(?:\b[rbfuRBFU]{1,2})?(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
_TOKEN = re.compile(
    rf"(?P<s>{_STRING})|(?P<c>#[^\n]*)|(?P<n>(?<=\bdef )\w+|(?<=\bclass )\w+)|(?P<k>\b(?:{'|'.join(kwlist)})\b)|(?P<m>\b\d[\w.]*)"
)


def source_page(module: str) -> str:
    """The page of a module's source."""
    return f"source.{module}.html"


def source_body(title: str, path: Path, part: Part | None = None, page: str = "") -> str:
    """The body of the page of a file; `page` is that of the part which it defines."""
    back = f'<p><a href="{page}">{escape(part.name)}</a>: {escape(part.card.summary)}</p>' if part else ""
    text = path.read_text("utf-8").rstrip()
    shown = (
        f"<pre><code>{python(text)}</code></pre>"
        if path.suffix == ".py"
        else code(text, LANGUAGES.get(path.suffix, "text"))
    )
    return f'<h1 class="path">{escape(title)}</h1>{back}{shown}'


def python(text: str) -> str:
    """Python as HTML, coloured by one expression: for hundreds of whole files a real lexer takes too long.

    >>> python("x = 1  # one")
    'x = <span class="m">1</span>  <span class="c"># one</span>'
    """
    made, end = [], 0
    for match in _TOKEN.finditer(text):
        made += [escape(text[end : match.start()]), f'<span class="{match.lastgroup}">{escape(match[0])}</span>']
        end = match.end()
    return "".join([*made, escape(text[end:])])
