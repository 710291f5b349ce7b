"""The page of the systems: a row each, with its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from nearfar.catalogue.site.contents import Contents, family_page
from nearfar.catalogue.site.pieces import chip, listed, verdict
from nearfar.catalogue.systems import FITS, System


def systems_body(contents: Contents) -> str:
    """All systems, to be filtered by typing."""
    systems = contents.systems
    held = sum(bool(one.recipes) for one in systems)
    fits = "".join(f"<dt>{fit}</dt><dd>{escape(about)}</dd>" for fit, about in FITS.items())
    head = "".join(f"<th>{word}</th>" for word in ("id", "system", "family", "fit", "state", "recipe"))
    rows = "".join(_row(one, contents) for one in systems)
    return (
        f'<h1>Systems</h1><p class="lead">The {len(systems)} systems of papers that this library is to hold. {held} have a recipe.</p>'
        f'{_bar(systems)}<dl class="facts">{fits}</dl>'
        '<p class="only-script"><input type="search" class="filter" data-filters="#systems" '
        'placeholder="Filter: a word of a title, a family, a state" aria-label="Filter the systems"></p>'
        f'<div class="scroll"><table id="systems"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def state(system: System) -> str:
    """How far it is, in words that are the same in the row, the bar and the filter."""
    return "no recipe yet" if not system.recipes else system.verdict or "recipe, claim not run"


def _row(system: System, contents: Contents) -> str:
    folder = escape(system.folder)
    family = f'<a href="{family_page(system.folder)}">{folder}</a>' if system.folder in contents.families else folder
    shown = (
        verdict(system.verdict) if system.recipes and system.verdict else chip(state(system)) if system.recipes else ""
    )
    cells = (
        system.id,
        f'<b>{escape(system.name)}</b> <span class="muted">{escape(system.modality)}</span><br>{escape(system.title)}',
        family,
        escape(system.fit),
        shown,
        listed(system.recipes, contents.links),
    )
    return f'<tr id="s{system.id}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _bar(systems: Sequence[System]) -> str:
    counts = Counter(state(one) for one in systems)
    kinds = {"reproduced": "good", "contradicted": "bad", "not reproduced": "open", "no recipe yet": "none"}
    order = sorted(counts, key=lambda word: list(kinds).index(word) if word in kinds else len(kinds) - 1.5)
    parts = "".join(
        f'<span class="{kinds.get(word, "some")}" style="flex: {counts[word]}" title="{counts[word]} {word}"></span>'
        for word in order
    )
    told = "".join(f'<li><i class="{kinds.get(word, "some")}"></i>{counts[word]} {word}</li>' for word in order)
    return f'<div class="progress" aria-hidden="true">{parts}</div><ul class="key">{told}</ul>'
