"""Which recipes share which parts, as a drawing: a row a recipe, a column a part, a dot where the one is made of the other.

Names of recipes and of parts stay in sight while one scrolls, so that it can be read with twenty recipes and with hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nearfar.catalogue.site.contents import Contents, family_page, file_name
from nearfar.core.parts import BY_NAME, Part

CELL, LETTER, LONGEST = 20, 6.9, 28


def columns_of(contents: Contents, recipes: Sequence[Part], least: int = 2) -> list[Part]:
    """The parts of at least so many of these recipes: by kind, the most shared first."""
    counts: dict[str, int] = {}
    for recipe in recipes:
        for name in contents.compositions[recipe.name].names:
            counts[name] = counts.get(name, 0) + 1
    kept = [contents.by_name[name] for name, count in counts.items() if count >= least]
    return sorted((p for p in kept if p.kind not in BY_NAME), key=lambda p: (p.kind, -counts[p.name], p.name))


def drawing(contents: Contents, recipes: Sequence[Part], least: int = 2) -> str:
    """The drawing for some recipes, or "" where no part has so many of them."""
    columns = columns_of(contents, recipes, least)
    if not columns or not recipes:
        return ""
    width, height = CELL * len(columns), CELL * len(recipes)
    names = round(min(max(len(one.name) for one in recipes), LONGEST) * LETTER) + 18
    head = round(max(len(part.name) for part in columns) * LETTER) + 34
    return (
        f'<div class="matrix" style="--names: {names}px" data-cell="{CELL}">'
        f'<div class="corner" style="height: {head}px"></div>'
        f'<svg class="across" width="{width}" height="{head}" viewBox="0 0 {width} {head}">{_across(columns, head)}</svg>'
        f'<svg class="down" width="{names}" height="{height}" viewBox="0 0 {names} {height}">{_down(recipes, names)}</svg>'
        f'<svg class="body" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{len(recipes)} recipes and the {len(columns)} parts that they share">'
        f"{_body(contents, recipes, columns)}</svg></div>"
    )


def _across(columns: Sequence[Part], height: int) -> str:
    made, before = [], ""
    for i, part in enumerate(columns):
        x = CELL * i + CELL * 0.7
        made.append(
            f'<a href="{file_name(part)}"><text class="name" transform="translate({x:.1f} {height - 8}) rotate(-90)">'
            f"{escape(part.name)}<title>{escape(part.kind)}: {escape(part.card.summary)}</title></text></a>"
        )
        if part.kind != before:
            made.append(f'<line class="rule" x1="{CELL * i}" x2="{CELL * i}" y1="0" y2="{height}"/>')
            made.append(f'<text class="kind" x="{CELL * i + 5}" y="14">{escape(_fitting(part.kind, columns))}</text>')
            before = part.kind
    return "".join(made)


def _fitting(kind: str, columns: Sequence[Part]) -> str:
    """As much of a kind's name as its columns have room for; nothing where that says nothing."""
    room = int((CELL * sum(part.kind == kind for part in columns) - 8) / LETTER)
    return kind if len(kind) <= room else kind[: room - 1] + "\u2026" if room > 4 else ""


def _down(recipes: Sequence[Part], width: int) -> str:
    return "".join(
        f'<a href="{file_name(one)}"><text class="name" x="{width - 8}" y="{CELL * i + CELL * 0.7:.1f}">{escape(_short(one.name))}'
        f"<title>{escape(one.name)}: {escape(one.card.summary)}</title></text></a>"
        for i, one in enumerate(recipes)
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "\u2026"


def _body(contents: Contents, recipes: Sequence[Part], columns: Sequence[Part]) -> str:
    width, height = CELL * len(columns), CELL * len(recipes)
    made = [f'<rect class="row bar" x="0" width="{width}" height="{CELL}" y="-{CELL}"/>']
    made.append(f'<rect class="column bar" y="0" height="{height}" width="{CELL}" x="-{CELL}"/>')
    for i, part in enumerate(columns):
        kind = "rule" if i == 0 or columns[i - 1].kind != part.kind else "thin"
        made.append(f'<line class="{kind}" x1="{CELL * i}" x2="{CELL * i}" y1="0" y2="{height}"/>')
    for j, recipe in enumerate(recipes):
        kind = "rule" if j == 0 or recipes[j - 1].family != recipe.family else "thin"
        made.append(f'<line class="{kind}" x1="0" x2="{width}" y1="{CELL * j}" y2="{CELL * j}"/>')
        held = set(contents.compositions[recipe.name].names)
        made += [
            f'<circle cx="{CELL * i + CELL / 2:g}" cy="{CELL * j + CELL / 2:g}" r="5">'
            f"<title>{escape(recipe.name)} \u2013 {escape(part.name)}</title></circle>"
            for i, part in enumerate(columns)
            if part.name in held
        ]
    return "".join(made)


def shared_parts(contents: Contents) -> str:
    """The page: the drawing for all recipes, by family, then the parts of one recipe alone and those of none."""
    recipes = [part for family in contents.families.values() for part in family if part.name in contents.compositions]
    families = ", ".join(f'<a href="{family_page(f)}">{escape(f or "recipes")}</a>' for f in contents.families)
    once = {n: users[0] for n, users in contents.users.items() if len(users) == 1 and n in contents.by_name}
    alone = "".join(
        f'<li><a href="{contents.links[n]}"><code>{n}</code></a> <span class="muted">in</span> '
        f'<a href="{contents.links[r]}">{r}</a></li>'
        for n, r in sorted(once.items())
        if contents.by_name[n].kind not in BY_NAME
    )
    return (
        "<h1>Which recipes share which parts</h1>"
        f'<p class="lead">A row a recipe, by family ({families}); a column a part that at least two recipes are made of, the most '
        "shared ones of each kind first. What a recipe's own code calls counts too.</p>"
        f"{drawing(contents, recipes) or '<p>No two recipes share a part.</p>'}"
        f'<h2 id="alone">Parts of one recipe alone</h2><ul class="columns">{alone}</ul>'
    )
