"""The page of a part that is no recipe: its call, its text, what it states, who is made of it, an example, BibTeX."""

from __future__ import annotations

from html import escape

from nearfar.catalogue.citation import bibtex, papers_of
from nearfar.catalogue.page import call_with_signature, facts
from nearfar.catalogue.site.contents import Contents, kind_page
from nearfar.catalogue.site.pieces import code, folded, listed, named, summary_rows, table, verdict
from nearfar.catalogue.site.pieces import facts as fact_list
from nearfar.catalogue.site.prose import inline, prose
from nearfar.catalogue.site.sources import source_page
from nearfar.catalogue.source import describe
from nearfar.core.parts import Part


def part_page(part: Part, contents: Contents) -> str:
    """The body of the page."""
    about, links = describe(part), {n: p for n, p in contents.links.items() if n != part.name}
    head = (
        f'<p class="kicker"><a href="{kind_page(part.kind)}">{escape(part.kind)}</a>{_family(part)}</p>'
        f'<h1>{part.name}</h1><p class="lead">{inline(part.card.summary, {})}.</p>'
    )
    blocks = [
        head,
        code(call_with_signature(about)),
    ]
    blocks += [f"<section>{prose(text, links)}</section>" for text in (about.text, about.prose) if text]
    if about.example:
        blocks.append("<h2>Example</h2>" + code(about.example, "pycon"))
    rows = [(key, escape(value)) for key, value in facts(part).items() if key != "papers"]
    rows += [("records it reads", listed(part.card.reads, {r: f"data.html#{r}" for r in part.card.reads}))]
    rows.append(("file", f'<a href="{source_page(part.module)}"><code>{part.module}</code></a>'))
    blocks.append("<h2>What its card states</h2>" + fact_list([("in short" if k == "also" else k, v) for k, v in rows]))
    related = [contents.by_name[name] for name in part.card.related]
    if related:
        blocks.append("<h2>Nearest relatives</h2>" + table((), summary_rows(related, links)))
    users = [contents.by_name[name] for name in contents.users.get(part.name, ())]
    if users:
        blocks.append("<h2>Recipes with it</h2>" + table((), summary_rows(users, links)))
    blocks.append(_claims_with(part, contents))
    papers = papers_of(part)
    if papers:
        entries = "\n\n".join(bibtex(paper, f"nearfar: {part.name}") for paper in papers)
        blocks.append("<h2>Cite</h2>" + folded("BibTeX", code(entries, "bibtex")))
    return "\n".join(blocks)


def _family(part: Part) -> str:
    return f" \u203a {escape(part.family)}" if part.family else ""


def _claims_with(part: Part, contents: Contents) -> str:
    """Of a data set or a measure: the claims that are judged by it."""
    names = []
    for name, made in contents.claims.items():
        measure = made.claim.measure.part if made.claim.measure else ""
        if (part.kind, part.name) in (("datasets", made.claim.data), ("measures", measure)):
            names.append(name)
    rows = [
        [named(n, contents.links), escape(contents.claims[n].claim.text), verdict(contents.verdict(n))] for n in names
    ]
    return "<h2>Claims judged by it</h2>" + table((), rows) if rows else ""
