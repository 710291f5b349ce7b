"""A markdown file as HTML. Its links to other files lead to their pages; a link to a file that is not there is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from nearfar.catalogue.site.pieces import anchor, code
from nearfar.core.optional import needed


@dataclass(frozen=True)
class Document:
    """A file as a page: its name, its title, its first paragraph as plain text, its headings as (id, text), its body."""

    file: str
    title: str
    lead: str
    headings: tuple[tuple[str, str], ...]
    body: str


def document(path: Path, links: Mapping[str, str], place: Callable[[Path], str]) -> Document:
    """Render a file; `place` gives the page or the copy of a file that it links to."""
    tokens = needed("markdown_it", "dev").MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))
    title, lead, headings = "", "", []
    made: list[str] = []
    for number, token in enumerate(tokens):
        if token.type == "inline":
            plain = _plain(token)
            before = tokens[number - 1]
            if before.type == "heading_open":
                headings.append((anchor(plain), plain))
                title = title or plain
            elif before.type == "paragraph_open" and title and not lead and not plain.startswith("!"):
                lead = plain
            made.append(_inline(token, path, links, place))
        elif token.type == "heading_open":
            name = anchor(_plain(tokens[number + 1]))
            made.append(f'<{token.tag} id="{escape(name)}">')
        elif token.type in ("fence", "code_block"):
            made.append(code(token.content.rstrip("\n"), token.info or "text"))
        elif token.type == "table_open":
            made.append('<div class="scroll"><table>')
        elif token.type == "table_close":
            made.append("</table></div>")
        elif token.type == "html_block":
            continue  # comments that say where figures come from
        elif token.type == "hr":
            made.append("<hr>")
        elif not token.hidden:
            right = "right" in str(token.attrs.get("style", ""))
            css = ' class="number"' if right else ""
            made.append(f"</{token.tag}>" if token.nesting < 0 else f"<{token.tag}{css}>")
    return Document(path.name, title or path.stem, lead, tuple(headings[1:]), "".join(made))


def _plain(token: Any) -> str:
    return " ".join("".join(t.content if t.type != "softbreak" else " " for t in token.children).split())


def _inline(token: Any, path: Path, links: Mapping[str, str], place: Callable[[Path], str]) -> str:
    made, inside = [], 0
    for t in token.children:
        if t.type in ("text", "softbreak", "hardbreak"):
            made.append(escape(t.content, quote=False) if t.type == "text" else "\n")
        elif t.type == "code_inline":
            name = t.content.removeprefix("nf.").removeprefix("nearfar.").removesuffix("()")
            shown = f"<code>{escape(t.content, quote=False)}</code>"
            made.append(f'<a href="{links[name]}">{shown}</a>' if name in links and not inside else shown)
        elif t.type == "link_open":
            inside += 1
            made.append(f'<a href="{escape(_target(str(t.attrs["href"]), path, place))}">')
        elif t.type == "link_close":
            inside -= 1
            made.append("</a>")
        elif t.type == "image":
            source = _target(str(t.attrs["src"]), path, place)
            made.append(f'<img src="{escape(source)}" alt="{escape(t.content)}" loading="lazy">')
        elif t.type != "html_inline":
            made.append(f"</{t.tag}>" if t.nesting < 0 else f"<{t.tag}>")
    return "".join(made)


def _target(link: str, path: Path, place: Callable[[Path], str]) -> str:
    if re.match(r"\w+:|#", link):
        return link
    file, hash_sign, fragment = link.partition("#")
    return place(Path(os.path.normpath(path.parent / file))) + hash_sign + fragment
