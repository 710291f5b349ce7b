"""What stands around every page: the head, the menu, the search box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape

from nearfar.catalogue.site.contents import PAGES, Contents, family_page, file_name, kind_page
from nearfar.catalogue.site.document import Document
from nearfar.core.parts import RECIPES, Part
from nearfar.report.style import LENS, MARK

WIDE = ("claims.html", "systems.html", "shared-parts.html")


@dataclass(frozen=True)
class Frame:
    """The menu's contents; `documents` are those of the checkout by page, `guides` the pages of docs/ among them."""

    contents: Contents
    documents: Mapping[str, Document]
    guides: tuple[str, ...]

    def around(self, title: str, page: str, body: str, part: Part | None = None) -> str:
        """The whole page; of the menu, the group is open in which it stands."""
        menu = self._menu(page, part)
        wide = ' class="wide"' if page in WIDE else ""
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">\n'
            '<link rel="stylesheet" href="site.css"><script src="search-index.js" defer></script>'
            '<script src="site.js" defer></script></head>\n'
            f'<body><header class="top"><a class="brand" href="index.html">{MARK} nearfar</a>'
            f'<button class="find only-script" type="button" aria-label="Search">{LENS}<span>Search</span><kbd>/</kbd></button>'
            f'</header>\n<nav aria-label="All pages"><details open><summary>Menu</summary>{menu}</details></nav>\n'
            f"<main{wide}>{body}</main></body></html>\n"
        )

    def _menu(self, page: str, part: Part | None) -> str:
        """The menu, with the page's own link marked."""
        target = page if part is None else family_page(part.family) if part.kind == RECIPES else kind_page(part.kind)
        menu = self._menus.get(target, self._menus[""])
        return menu.replace(f'<a href="{page}">', f'<a href="{page}" aria-current="page">')

    @cached_property
    def _menus(self) -> dict[str, str]:
        """The menu with one group open, by the page of the group; "": with none."""
        contents = self.contents
        groups = {family_page(f): (f, group) for f, group in contents.families.items() if f}
        kinds = {kind_page(kind): (kind, group) for kind, group in contents.kinds.items()}
        links = {target: _link(target, title, len(group)) for target, (title, group) in (groups | kinds).items()}
        others = [name for name in self.documents if name not in self.guides]
        menus = {}
        for opened in ("", *links):
            _, members = (groups | kinds).get(opened, ("", ()))
            inside = f'<div class="inside">{"".join(_link(file_name(one), one.name) for one in members)}</div>'
            shown = {target: link + inside if target == opened else link for target, link in links.items()}
            made = [_link("index.html", "Start"), _link("data.html", "What data have you?")]
            made += _section("Guides", [_link(guide, self.documents[guide].title) for guide in self.guides])
            made += _section(
                "Recipes", [_link("recipes.html", "All recipes", len(contents.recipes)), *(shown[t] for t in groups)]
            )
            made += [
                _link("claims.html", "Claims"),
                _link("systems.html", "Systems"),
                _link("shared-parts.html", "Shared parts"),
            ]
            made += _section("Parts", [shown[t] for t in kinds])
            made += _section("Project", [_link(name, self.documents[name].file) for name in others])
            menus[opened] = "".join(made)
        return menus


def _section(title: str, links: list[str]) -> list[str]:
    return [f"<h2>{title}</h2>", *links] if links else []


def _link(target: str, title: str, count: int | None = None) -> str:
    number = f" <small>{count}</small>" if count is not None else ""
    return f'<a href="{target}">{escape(title)}{number}</a>'


def document_page(checkout_path: str) -> str:
    """The page of a markdown file, by its path in the checkout."""
    return f"page.{checkout_path.removeprefix(f'{PAGES}/').removesuffix('.md').replace('/', '-').lower()}.html"
