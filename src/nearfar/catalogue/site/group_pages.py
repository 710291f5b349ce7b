"""Pages of groups: a kind of parts, a family of recipes, all recipes."""

from __future__ import annotations

from html import escape

from nearfar.catalogue.site.contents import Contents, family_page
from nearfar.catalogue.site.pieces import heading, named, summary_rows, table, verdict
from nearfar.catalogue.site.shared_parts import drawing
from nearfar.catalogue.source import kind_summary
from nearfar.core.parts import BY_NAME, RECIPES, Part


def kind_body(kind: str, contents: Contents) -> str:
    """All parts of a kind, by family where there are families, and of how many recipes each is a part."""
    blocks = [f'<h1>{escape(kind)}</h1><p class="lead">{escape(kind_summary(kind))}</p>']
    families: dict[str, list[Part]] = {}
    for part in contents.kinds[kind]:
        families.setdefault(part.family, []).append(part)
    counted = any(part.name in contents.users for part in contents.kinds[kind]) and kind not in BY_NAME
    for family, group in families.items():
        rows = summary_rows(group, contents.links)
        if counted:
            for row, part in zip(rows, group, strict=True):
                row.append(str(len(contents.users.get(part.name, ())) or ""))
        head = ("", "", "recipes") if counted else ()
        blocks.append((heading(2, family) if family else "") + table(head, rows, numbers=(2,) if counted else ()))
    return "".join(blocks)


def recipe_rows(group: list[Part], contents: Contents) -> str:
    """A table of recipes: what one must have, and what came of the claim."""
    rows = []
    for part in group:
        state = verdict(contents.verdict(part.name)) if part.name in contents.claims else ""
        rows.append(
            [named(part.name, contents.links), escape(part.card.summary), escape(", ".join(part.card.data)), state]
        )
    return table(("recipe", "", "your data", "claim"), rows)


def recipes_body(contents: Contents) -> str:
    """All recipes by family."""
    blocks = [
        (
            f'<h1>Recipes</h1><p class="lead">{len(contents.recipes)} methods of papers and for everyday use, by family. '
            '<a href="shared-parts.html">Which parts they share</a> is a drawing.</p>'
        )
    ]
    for family, group in contents.families.items():
        link = f'<a href="{family_page(family)}">{escape(family)}</a>' if family else "others"
        about = escape(kind_summary(f"{RECIPES}/{family}"))
        blocks.append(f"<h2>{link}</h2><p>{about}.</p>{recipe_rows(group, contents)}")
    return "".join(blocks)


def family_body(family: str, contents: Contents) -> str:
    """A family: its recipes, what they share, and the systems that belong here and have none yet."""
    group = contents.families[family]
    taken = [part for part in group if part.name in contents.compositions]
    systems = [system for system in contents.systems if system.folder == family]
    held = [system for system in systems if system.recipes]
    blocks = [
        (
            f'<p class="kicker"><a href="recipes.html">recipes</a></p><h1>{escape(family)}</h1>'
            f'<p class="lead">{escape(kind_summary(f"{RECIPES}/{family}"))}.</p>{recipe_rows(group, contents)}'
        )
    ]
    shared = drawing(contents, taken, least=1)
    if shared:
        blocks.append(f"<h2>What they are made of</h2>{shared}")
    if systems:
        rows = [
            [f'<a href="systems.html#s{s.id}">{s.id}</a>', escape(s.name), escape(s.title)]
            for s in systems
            if not s.recipes
        ]
        blocks.append(f"<h2>Systems of this family</h2><p>{len(held)} of {len(systems)} have a recipe.</p>")
        blocks.append(
            f"<details><summary>The {len(rows)} that have none yet</summary>{table((), rows)}</details>" if rows else ""
        )
    return "".join(blocks)
