"""What the search box searches: a line for each part, recipe, system, guide and heading, as JSON that a page loads as a script."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nearfar.catalogue.citation import papers_of
from nearfar.catalogue.site.contents import Contents, family_page, file_name, kind_page
from nearfar.catalogue.site.document import Document
from nearfar.catalogue.source import kind_summary
from nearfar.core.parts import RECIPES


def search_index(contents: Contents, documents: Mapping[str, Document]) -> str:
    """The script: entries [name, what it is, text, page, further words]."""
    entries: list[tuple[str, str, str, str, str]] = []
    for part in contents.parts:
        titles = (
            " ".join(f"{paper.title} {paper.author} {paper.id}" for paper in papers_of(part))
            if part.kind == RECIPES
            else ""
        )
        kind = "recipe" if part.kind == RECIPES else part.kind
        entries.append((part.name, kind, part.card.summary, file_name(part), titles))
    for system in contents.systems:
        state = f"system {system.id}" + (f", {system.recipes[0]}" if system.recipes else "")
        entries.append(
            (system.name, state, system.title, f"systems.html#s{system.id}", f"{system.id} {system.modality}")
        )
    entries += [
        (f, "family of recipes", kind_summary(f"{RECIPES}/{f}"), family_page(f), "") for f in contents.families if f
    ]
    entries += [(k, "kind of parts", kind_summary(k), kind_page(k), "") for k in contents.kinds]
    for page, one in documents.items():
        entries.append((one.title, "page", one.lead, page, ""))
        entries += [(text, f"in: {one.title}", "", f"{page}#{name}", "") for name, text in one.headings]
    entries = [(name, kind, text.replace("`", ""), page, more) for name, kind, text, page, more in entries]
    return f"const INDEX = {json.dumps(entries, ensure_ascii=False, separators=(',', ':'))};\n"
