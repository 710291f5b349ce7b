"""The first page: what this is, where to begin, and how much there is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import nearfar
from nearfar.catalogue.site.contents import Contents, family_page, kind_page
from nearfar.catalogue.site.document import Document
from nearfar.catalogue.source import kind_summary
from nearfar.core.parts import RECIPES


def home_body(contents: Contents, guides: Mapping[str, Document], readme: Document | None) -> str:
    """The page; `guides` are the task pages by file."""
    held = sum(bool(one.recipes) for one in contents.systems)
    parts = sum(len(group) for group in contents.kinds.values())
    lead = readme.lead if readme else "Contrastive learning: what belongs together near, everything else far."
    first, _, more = lead.rstrip(".").partition(". ")
    more = f"{more}." if more else ""
    figures = [
        ("recipes.html", len(contents.recipes), "recipes"),
        ("shared-parts.html", parts, "parts"),
        ("systems.html", f"{held} / {len(contents.systems)}", "systems held"),
        ("claims.html", f"{len(contents.records)} / {len(contents.claims)}", "claims run"),
    ]
    told = "".join(f'<a href="{page}"><b>{number}</b> {word}</a>' for page, number, word in figures)
    tiles = [_tile("data.html", "What data have you?", "Pairs, images, texts, tables, labels: and what can use them.")]
    tiles += [_tile(page, one.title, one.lead) for page, one in guides.items()]
    families = [
        _tile(
            family_page(f),
            f,
            f"{kind_summary(f'{RECIPES}/{f}')}. {len(group)} {'recipe' if len(group) == 1 else 'recipes'}",
        )
        for f, group in contents.families.items()
    ]
    kinds = [_tile(kind_page(k), f"{k} ({len(group)})", kind_summary(k)) for k, group in contents.kinds.items()]
    return (
        f'<header class="hero"><h1>nearfar</h1><p class="lead">{escape(first)}.</p><p>{escape(more)}</p>'
        f'<p class="figures">{told}</p></header>'
        f'<h2>Begin here</h2><div class="tiles">{"".join(tiles)}</div>'
        f'<h2>Recipes</h2><div class="tiles">{"".join(families)}</div>'
        f'<h2>Parts</h2><div class="tiles">{"".join(kinds)}</div><p class="muted">nearfar {nearfar.__version__}</p>'
    )


def _tile(page: str, title: str, text: str) -> str:
    short = text if len(text) <= 170 else text[:170].rsplit(" ", 1)[0] + "\u00a0\u2026"
    return f'<a class="tile" href="{page}"><b>{escape(title)}</b><span>{escape(short)}</span></a>'
