"""All pages of the site, by file name. Nothing here is a list kept by hand: pages come from cards, sources, records and documents."""

from __future__ import annotations

import base64
from pathlib import Path

from nearfar.catalogue.site.claims_page import claims_body
from nearfar.catalogue.site.contents import PAGES, Contents, family_page, file_name, kind_page
from nearfar.catalogue.site.data_page import data_body
from nearfar.catalogue.site.document import Document, document
from nearfar.catalogue.site.frame import Frame, document_page
from nearfar.catalogue.site.group_pages import family_body, kind_body, recipes_body
from nearfar.catalogue.site.home_page import home_body
from nearfar.catalogue.site.part_page import part_page
from nearfar.catalogue.site.problems import broken_links, missing
from nearfar.catalogue.site.recipe_page import recipe_page
from nearfar.catalogue.site.search_index import search_index
from nearfar.catalogue.site.shared_parts import shared_parts
from nearfar.catalogue.site.sources import source_body, source_page
from nearfar.catalogue.site.systems_page import systems_body
from nearfar.catalogue.source import FACE_KIND
from nearfar.core.errors import UsageError
from nearfar.core.parts import PACKAGE, RECIPES, Part

ASSETS = ("site.css", "site.js")


def render(contents: Contents) -> dict[str, str]:
    """File name -> text. Raises UsageError, which lists them all, where something is missing or a link leads nowhere."""
    _refuse(missing(contents))
    sources = {source_page(part.module): part for part in contents.parts if part.kind != FACE_KIND}
    further: dict[str, Path] = {}
    pages: dict[str, str] = {name: Path(__file__).with_name(name).read_text("utf-8") for name in ASSETS}
    documents = _documents(contents, further, pages)
    guides = tuple(document_page(f"{PAGES}/{path.name}") for path in contents.documents if path.parent.name == PAGES)
    frame = Frame(contents, documents, guides)

    taken: set[str] = set()

    def add(name: str, title: str, body: str, part: Part | None = None) -> None:
        assert name.casefold() not in taken, name
        taken.add(name.casefold())
        pages[name] = frame.around(title, name, body, part)

    readme = documents.get(document_page("README.md"))
    add("index.html", "nearfar", home_body(contents, {g: documents[g] for g in guides}, readme))
    add("data.html", "What data have you? - nearfar", data_body(contents))
    add("recipes.html", "Recipes - nearfar", recipes_body(contents))
    add("claims.html", "Claims - nearfar", claims_body(contents))
    add("systems.html", "Systems - nearfar", systems_body(contents))
    add("shared-parts.html", "Shared parts - nearfar", shared_parts(contents))
    for family in filter(None, contents.families):
        add(family_page(family), f"{family} - nearfar", family_body(family, contents))
    for kind in contents.kinds:
        add(kind_page(kind), f"{kind} - nearfar", kind_body(kind, contents))
    for part in contents.parts:
        body = recipe_page if part.kind == RECIPES and part.name in contents.compositions else part_page
        add(file_name(part), f"{part.name} - nearfar", body(part, contents), part)
        if part.kind == FACE_KIND:
            further.setdefault(source_page(part.module), Path(part.file))
    for name, part in sources.items():
        add(name, f"{part.module} - nearfar", source_body(part.module, Path(part.file), part, file_name(part)))
    for name, path in further.items():
        if name not in sources:
            add(name, f"{path.name} - nearfar", source_body(path.name, path))
    for name, one in documents.items():
        add(name, f"{one.title} - nearfar", f'<article class="document">{one.body}</article>')
    pages["search-index.js"] = search_index(contents, documents)
    _refuse(broken_links(pages))
    return pages


def _documents(contents: Contents, further: dict[str, Path], pages: dict[str, str]) -> dict[str, Document]:
    """Every markdown file of the checkout. What they link to becomes a page of `further`, a picture a file of `pages`."""
    checkout = contents.checkout

    def place(path: Path) -> str:
        assert checkout is not None
        if path in contents.documents:
            return document_page(str(path.relative_to(checkout)))
        if not path.is_file():
            return path.name  # the check of links says where
        if path.suffix == ".svg":
            pages[path.name] = path.read_text("utf-8")
            return path.name
        if path.suffix == ".png":  # pages are texts, and a picture that is part of one needs no file beside it
            return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        inside = path.is_relative_to(PACKAGE) and path.suffix == ".py"
        name = source_page(
            ".".join(("nearfar", *path.relative_to(PACKAGE).with_suffix("").parts)) if inside else path.name
        )
        further[name] = path
        return name

    links = contents.links
    return {
        document_page(str(path.relative_to(checkout))): document(path, links, place)
        for path in contents.documents
        if checkout is not None
    }


def _refuse(problems: list[str]) -> None:
    if problems:
        raise UsageError("the pages are incomplete:\n  " + "\n  ".join(problems), remedy="correct the files named")
