"""The page of a recipe: papers, method and formula, how to run it, what it is made of, its neighbours, its claim and the outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from nearfar.catalogue.citation import bibtex, in_words, papers_of
from nearfar.catalogue.site.claim_section import claim_section
from nearfar.catalogue.site.composition import CODE, TRIAL, Composition
from nearfar.catalogue.site.contents import Contents, family_page
from nearfar.catalogue.site.pieces import chip, code, folded, listed, named, summary_rows, table, verdict
from nearfar.catalogue.site.prose import commands, formulas, inline, prose, without_commands
from nearfar.catalogue.site.sources import source_page
from nearfar.catalogue.source import describe
from nearfar.core.parts import Part
from nearfar.core.tree import leaves, to_json

MOST_CHANGES = 12


def recipe_page(part: Part, contents: Contents) -> str:
    """The body of the page."""
    links = {n: p for n, p in contents.links.items() if n != part.name}
    made, about = contents.compositions[part.name], describe(part)
    head = (
        f'<p class="kicker"><a href="recipes.html">recipes</a> \u203a <a href="{family_page(part.family)}">{part.family}</a></p>'
        f'<h1>{part.name}</h1><p class="lead">{escape(part.card.summary)}.</p>{_chips(part, contents)}'
    )
    blocks = [
        head,
        _papers(part),
        f"<section>{prose(without_commands(about.text), links)}</section>",
        _formula(made, contents),
        "<h2>Run it</h2>" + _run(part, about.text, contents),
        "<h2>What it is made of</h2>" + _pieces(made, contents),
        _neighbours(part, contents, links),
    ]
    if part.name in contents.claims:
        blocks.append(claim_section(part.name, contents))
    return "\n".join(block for block in blocks if block)


def _chips(part: Part, contents: Contents) -> str:
    made = [f'<a href="data.html#{word}">{chip(word)}</a>' for word in part.card.data]
    made += [f'<a href="systems.html#s{system}">{chip("system " + system)}</a>' for system in part.card.systems]
    if part.name in contents.claims:
        made.append(f'<a href="#claim">{verdict(contents.verdict(part.name))}</a>')
    return f'<p class="chips">{" ".join(made)}</p>'


def _papers(part: Part) -> str:
    papers = papers_of(part)
    if not papers:
        return ""
    told = "".join(f"<li>{escape(in_words(paper))}</li>" for paper in papers)
    entries = "\n\n".join(bibtex(paper, f"nearfar: {part.name}") for paper in papers)
    folder = folded("BibTeX, as nearfar cite prints it", code(entries, "bibtex"))
    return f'<div class="papers"><ul>{told}</ul>{folder}</div>'


def _formula(made: Composition, contents: Contents) -> str:
    """The formulas of its objectives."""
    found = []
    for name in made.names:
        part = contents.by_name.get(name)
        if part is None or part.kind != "objectives":
            continue
        formula = formulas(describe(part).text)
        if formula:
            found.append(
                f"<figure><figcaption>{named(name, contents.links)}</figcaption><pre>{escape(formula)}</pre></figure>"
            )
    return "<h2>Formula</h2>" + "".join(found) if found else ""


def _run(part: Part, text: str, contents: Contents) -> str:
    told = commands(text) or [f"nearfar train {part.name} --data DATA --out runs/{part.name}"]
    told += ["", "# what --set can change", f"nearfar train {part.name} --settings"]
    if part.name in contents.claims:
        told += ["", "# what the paper claims, as an experiment", f"nearfar claim {part.name}"]
    python = f'import nearfar as nf\n\nmodel = nf.train("{part.name}", data=...)'
    settings = [
        [f"<code>{escape(name)}</code>", f"<code>{escape(json.dumps(to_json(value), ensure_ascii=False))}</code>"]
        for name, value in leaves(contents.compositions[part.name].recipe).items()
    ]
    source = f'<p>The file: <a href="{source_page(part.module)}"><code>{part.module}</code></a></p>'
    return (
        code("\n".join(told), "bash")
        + code(python)
        + folded(f"All {len(settings)} settings", table((), settings))
        + source
    )


def _pieces(made: Composition, contents: Contents) -> str:
    places: dict[tuple[str, str], list[str]] = {}
    for piece in made.pieces:
        options = ", ".join(f"{k}={_short(v)}" for k, v in piece.options.items())
        places.setdefault((piece.name, options), []).append(piece.role)
    rows = []
    for (name, options), roles in places.items():
        part = contents.by_name[name]
        told = f'<br><span class="muted"><code>{escape(options)}</code></span>' if options else ""
        rows.append(
            ["<br>".join(map(_place, roles)), named(name, contents.links) + told, inline(part.card.summary, {})]
        )
    rows += [
        [
            f"<code>{escape(role)}</code>",
            f'<code>{escape(name)}</code> <span class="muted">of its own</span>',
            inline(about, {}),
        ]
        for role, name, about in made.own
    ]
    begins = f"<p>It starts from {listed(made.recipes, contents.links)}.</p>" if made.recipes else ""
    return begins + table(("place", "part", ""), rows)


def _place(role: str) -> str:
    return f'<span class="muted">{role}</span>' if role in (CODE, TRIAL) else f"<code>{escape(role)}</code>"


def _short(value: Any) -> str:
    text = json.dumps(to_json(value), ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "\u2026"


def _neighbours(part: Part, contents: Contents, links: Mapping[str, str]) -> str:
    """Its relatives, and in which settings it differs from those that are recipes."""
    related = [contents.by_name[name] for name in part.card.related]
    naming = [r for r in contents.recipes if part.name in r.card.related and r not in related]
    blocks = ["<h2>Its neighbours</h2>", table((), summary_rows([*related, *naming], links))]
    for other in (r for r in [*related, *naming] if r.name in contents.compositions):
        rows = changes(contents.compositions[other.name], contents.compositions[part.name])
        shown = [[f"<code>{escape(a)}</code>", escape(b), escape(c)] for a, b, c in rows[:MOST_CHANGES]]
        more = f'<p class="muted">and {len(rows) - MOST_CHANGES} more</p>' if len(rows) > MOST_CHANGES else ""
        body = table(("setting", other.name, part.name), shown) + more if rows else "<p>No setting differs.</p>"
        blocks.append(folded(f"{len(rows)} settings differ from {other.name}", body))
    return "".join(blocks) if related or naming else ""


def changes(before: Composition, after: Composition) -> list[tuple[str, str, str]]:
    """The settings of two recipes that differ: (name, before, after), the objective first; "–" where there is no such setting."""
    old, new = leaves(before.recipe), leaves(after.recipe)
    names = [name for name in dict.fromkeys([*new, *old]) if name != "name"]
    rows = [(n, _short(old[n]) if n in old else "\u2013", _short(new[n]) if n in new else "\u2013") for n in names]
    return sorted((r for r in rows if r[1] != r[2]), key=lambda r: not r[0].startswith(("objective", "encoder")))
