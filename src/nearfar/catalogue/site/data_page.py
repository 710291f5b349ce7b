"""The page "What data have you?": from what one has to the recipes, encoders, views and relations that can use it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import get_args

from nearfar.catalogue.site.contents import Contents
from nearfar.catalogue.site.pieces import listed, summary_rows, table
from nearfar.core.parts import RECIPES, Part
from nearfar.core.recipe import Recipe
from nearfar.core.tree import hints


def words(contents: Contents) -> dict[str, tuple[str, ...]]:
    """What a recipe's card may ask for -> what it is called elsewhere: kinds of records, columns of relations, shapes of data.

    Cards of recipes speak of many ("images"), those of encoders, views and relations of one ("image", the column `label`).
    """
    known = {word for part in contents.parts for word in (*part.card.reads, *part.card.needs_columns)}
    known |= {shape for shape in get_args(hints(Recipe)["data"]) if shape.removesuffix("s") not in known}
    return {
        word: tuple(sorted(one for one in known if word in (one, f"{one}s")))
        for word in sorted(known | {f"{one}s" for one in known if not one.endswith("s")})
    }


def unknown_words(contents: Contents) -> list[str]:
    """Words of recipes' cards that nothing else knows, as problems."""
    known = words(contents)
    return [
        f"{part.file}:{part.line}: data names {word!r}, which no encoder, view or relation reads; known are {', '.join(sorted(known))}"
        for part in contents.recipes
        for word in part.card.data
        if word not in known
    ]


def sections(contents: Contents) -> dict[str, list[Part]]:
    """Every kind of data, and the parts that use it, recipes first."""
    known = words(contents)
    found: dict[str, list[Part]] = {}
    for part in (*contents.recipes, *contents.parts):
        asked = [one for word in part.card.data for one in known.get(word, (word,))]
        asked += [*part.card.reads, *part.card.needs_columns, *_read_by_encoder(part, contents)]
        for word in asked:
            group = found.setdefault(word, [])
            if part not in group:
                group.append(part)
    columns = {word for part in contents.parts for word in part.card.needs_columns}
    return dict(sorted(found.items(), key=lambda item: (item[0] in columns, item[0])))


def _read_by_encoder(part: Part, contents: Contents) -> list[str]:
    """What the encoders of a recipe read."""
    if part.kind != RECIPES or part.name not in contents.compositions:
        return []
    pieces = [contents.by_name[n] for n in contents.compositions[part.name].names if n in contents.by_name]
    return [word for piece in pieces if piece.kind == "encoders" for word in piece.card.reads]


def data_body(contents: Contents) -> str:
    """The page."""
    found = sections(contents)
    columns = {word for part in contents.parts for word in part.card.needs_columns}
    called = {word: names for word, names in words(contents).items() if word not in found}
    blocks = [
        (
            '<h1>What data have you?</h1><p class="lead">And what can use it: recipes to train, encoders and views for such records, and '
            "relations that read such a column.</p>"
        ),
        "<h2>What one record is</h2>" + _choices(w for w in found if w not in columns),
        "<h2>What you know of each record</h2>" + _choices(w for w in found if w in columns),
    ]
    for word, parts in found.items():
        other = "".join(f'<span id="{escape(w)}"></span>' for w, names in called.items() if word in names)
        kinds: dict[str, list[Part]] = {}
        for part in parts:
            kinds.setdefault(part.kind, []).append(part)
        name = f"the column <code>{escape(word)}</code>" if word in columns else escape(word)
        blocks.append(
            f'<section class="data"><h2 id="{escape(word)}">{name}</h2>{other}{_of(kinds, contents)}</section>'
        )
    return "".join(blocks)


def _choices(chosen: Iterable[str]) -> str:
    return (
        '<p class="choices">'
        + " ".join(f'<a class="choice" href="#{escape(w)}">{escape(w)}</a>' for w in chosen)
        + "</p>"
    )


def _of(kinds: dict[str, list[Part]], contents: Contents) -> str:
    recipes = kinds.get(RECIPES, [])
    made = (
        table(("recipe", ""), summary_rows(recipes, contents.links))
        if recipes
        else "<p>No recipe asks for it by name yet.</p>"
    )
    relations = kinds.pop("relations", [])
    made += table(("relation", ""), summary_rows(relations, contents.links)) if relations else ""
    others = [
        f"<dt>{escape(kind)}</dt><dd>{listed([p.name for p in group], contents.links)}</dd>"
        for kind, group in sorted(kinds.items())
        if kind != RECIPES
    ]
    return made + (f'<dl class="facts">{"".join(others)}</dl>' if others else "")
