"""Renders the pages of all parts as static HTML: `make docs`. A broken link or a missing text is an error, not a warning.

python -m nearfar.catalogue.site docs/site
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import nearfar
from nearfar.catalogue.citation import bibtex, papers_of
from nearfar.catalogue.coverage import coverage
from nearfar.catalogue.listing import by_kind
from nearfar.catalogue.page import call_with_signature, facts
from nearfar.catalogue.source import FACE_KIND, describe, face, kind_summary
from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.parts import Part, parts

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; display: grid; grid-template-columns: 15rem minmax(0, 1fr); }
nav { border-right: 1px solid var(--line); padding: 1.2rem; height: 100vh; box-sizing: border-box; overflow: auto;
      position: sticky; top: 0; font-size: .9rem; }
nav h2 { font-size: .8rem; margin: 1.2rem 0 .2rem; opacity: .7; font-weight: 600; }
nav a { display: block; text-decoration: none; padding: .08rem 0; }
nav a[aria-current] { font-weight: 700; }
main { padding: 1.5rem 2.5rem 4rem; max-width: 54rem; }
h1 { margin: 0 0 .2rem; font-size: 1.7rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; line-height: 1.45; }
code, pre { font-family: ui-monospace, monospace; font-size: .88rem; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .25rem 1.2rem .25rem 0; }
@media (max-width: 44rem) { body { display: block; } nav { position: static; height: auto; border: 0; } main { padding: 1rem; } }
"""


def file_name(part: Part) -> str:
    """The page of a part; kinds keep a rule and a recipe of one name apart."""
    return f"{part.kind.replace(' ', '-')}.{part.name}.html"


def problems(everything: list[Part]) -> list[str]:
    """What a reader of the pages would miss: relatives that do not exist, files without a text, parts without one."""
    found = []
    names = {part.name for part in everything}
    for part in everything:
        where = f"{part.file}:{part.line}"
        about = describe(part)
        found += [
            f"{where}: related names {other!r}, which does not exist"
            for other in part.card.related
            if other not in names
        ]
        if not about.text and part.kind != FACE_KIND:
            found.append(f"{where}: the file has no docstring")
        if not about.signature:
            found.append(f"{where}: the file defines no {part.attribute!r}")
        elif not about.prose and not about.example and not about.signature.startswith(f"{part.attribute} = "):
            found.append(f"{where}: {part.attribute!r} has no docstring")
    return found


def render(everything: list[Part]) -> dict[str, str]:
    """File name -> HTML: an index and a page a part. Raises UsageError listing all problems."""
    wrong = problems(everything)
    if wrong:
        raise UsageError("the pages are incomplete:\n  " + "\n  ".join(wrong), remedy="correct the files named")
    links = {part.name: file_name(part) for part in reversed(everything)}
    pages = {"index.html": _page("nearfar", _index(everything), everything, None)}
    for part in everything:
        pages[file_name(part)] = _page(f"{part.name} - nearfar", _body(part, links), everything, part)
    return pages


def _index(everything: list[Part]) -> str:
    blocks = [f"<h1>nearfar {nearfar.__version__}</h1><p>Contrastive learning: every part, by kind.</p>"]
    for kind, group in by_kind(everything).items():
        rows = "".join(
            f'<tr><td><a href="{file_name(p)}"><code>{p.name}</code></a></td><td>{html.escape(p.card.summary)}</td></tr>'
            for p in group
        )
        blocks.append(f"<h2>{kind}</h2><p>{html.escape(kind_summary(kind))}</p><table>{rows}</table>")
    held = coverage()
    blocks.append(f"<p>Systems held by recipes: {len(held['systems'])}; papers: {len(held['papers'])}.</p>")
    return "\n".join(blocks)


def _body(part: Part, links: dict[str, str]) -> str:
    about = describe(part)
    blocks = [f"<h1>{part.name}</h1><p>{html.escape(part.card.summary)}.</p>", _pre(call_with_signature(about), {})]
    blocks += [_pre(text, links) for text in (about.text, about.prose) if text]
    rows = [(key, html.escape(value)) for key, value in facts(part).items()]
    rows += [("related", f'<a href="{links[name]}"><code>{name}</code></a>') for name in part.card.related]
    rows.append(("module", f"<code>{part.module}</code>"))
    blocks.append("<table>" + "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in rows) + "</table>")
    if about.example:
        blocks.append("<h2>Example</h2>" + _pre(about.example, {}))
    papers = papers_of(part)
    if papers:
        entries = "\n\n".join(bibtex(paper, f"nearfar: {part.name}") for paper in papers)
        blocks.append("<h2>Cite</h2>" + _pre(entries, {}))
    return "\n".join(blocks)


def _pre(text: str, links: dict[str, str]) -> str:
    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f'<a href="{links[name]}">{name}</a>' if name in links else match[0]

    return "<pre>" + re.sub(r"`(\w+)`", link, html.escape(text, quote=False)) + "</pre>"


def _page(title: str, body: str, everything: list[Part], current: Part | None) -> str:
    menu = ['<a href="index.html">nearfar</a>']
    for kind, group in by_kind(everything).items():
        menu.append(f"<h2>{kind}</h2>")
        for part in group:
            here = ' aria-current="page"' if part is current else ""
            menu.append(f'<a href="{file_name(part)}"{here}>{part.name}</a>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><nav>{''.join(menu)}</nav>\n<main>{body}</main></body></html>\n"
    )


def main(arguments: list[str]) -> int:
    """Write all pages into a folder; pages of parts that are gone are removed."""
    if len(arguments) != 1:
        print("usage: python -m nearfar.catalogue.site FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        pages = render([*face(), *parts(with_announced=False)])
    except NearfarError as error:
        print(f"error: {error.what}\n  do:  {error.remedy}", file=sys.stderr)
        return error.exit_code
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    print(f"{len(pages)} pages in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
