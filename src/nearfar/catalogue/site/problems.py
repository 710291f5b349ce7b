"""What a reader of the pages would miss: names that do not exist, files without a text, links that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nearfar.catalogue.citation import is_arxiv, known_papers
from nearfar.catalogue.site.contents import Contents
from nearfar.catalogue.site.data_page import unknown_words
from nearfar.catalogue.source import FACE_KIND, describe, kind_summary
from nearfar.core.parts import BY_NAME, RECIPES, Part

_LINK = re.compile(r'\b(?:href|src)="([^"]*)"')
_ID = re.compile(r'\bid="([^"]*)"')


def missing(contents: Contents) -> list[str]:
    """Problems of the parts, one a line, each with its place."""
    found = list(contents.failures)
    for part in contents.parts:
        found += [f"{part.file}:{part.line}: {what}" for what in (*_texts(part), *_names(part, contents))]
    for family in contents.families:
        if family and not kind_summary(f"{RECIPES}/{family}"):
            found.append(f"recipes/{family}: the folder's __init__.py says nothing of it")
    return found + unknown_words(contents)


def _texts(part: Part) -> list[str]:
    """Texts that are not there."""
    about, found = describe(part), []
    if not about.text and part.kind != FACE_KIND:
        found.append("the file has no docstring")
    if not about.signature:
        found.append(f"the file defines no {part.attribute!r}")
    elif not about.prose and not about.example and not about.signature.startswith(f"{part.attribute} = "):
        found.append(f"{part.attribute!r} has no docstring")
    if part.kind == RECIPES and not part.card.data:
        found.append("the card does not say what data one must have")
    return found


def _names(part: Part, contents: Contents) -> list[str]:
    """Names that name nothing."""
    card = part.card
    found = [f"related names {n!r}, which does not exist" for n in card.related if n not in contents.by_name]
    known = {one.id for one in contents.systems}
    if part.kind == RECIPES:
        found += [f"systems names {n!r}, which is not in the table" for n in card.systems if n not in known]
        found += [f"papers.json does not have {n!r}" for n in card.papers if is_arxiv(n) and n not in known_papers()]
    made = contents.compositions.get(part.name) if part.kind == RECIPES else None
    if made:
        found += [
            f"{p.role} is {p.name!r}, which does not exist" for p in made.pieces if p.name not in contents.by_name
        ]
    if part.kind == RECIPES and part.name in contents.claims:
        claim = contents.claims[part.name].claim
        named = [claim.data, *([claim.measure.part] if claim.measure else [])]
        found += [
            f"the claim names {n!r}, which does not exist"
            for n in named
            if n not in contents.by_name or contents.by_name[n].kind not in BY_NAME
        ]
    return found


def broken_links(pages: Mapping[str, str]) -> list[str]:
    """Links to pages or places in pages that are not there, and ids that a page has twice."""
    found, ids = [], {}
    for name, text in pages.items():
        if name.endswith(".html"):
            mine = _ID.findall(text)
            ids[name] = set(mine)
            found += [f"{name}: the id {i!r} is there twice" for i in sorted(ids[name]) if mine.count(i) > 1]
    for name, text in pages.items():
        for link in dict.fromkeys(_LINK.findall(text)) if name.endswith(".html") else ():
            file, _, place = link.partition("#")
            file = file or name
            if re.match(r"\w+:", link):
                continue
            if file not in pages:
                found.append(f"{name}: the link {link!r} leads nowhere")
            elif place and place not in ids.get(file, ()):
                found.append(f"{name}: the link {link!r} leads to no place of that page")
    return found
