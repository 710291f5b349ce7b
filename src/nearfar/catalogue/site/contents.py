"""Everything that the pages tell, gathered once: parts, recipes taken apart, claims and their records, systems, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nearfar.catalogue.site.composition import Composition, composition
from nearfar.catalogue.source import FACE_KIND, face
from nearfar.catalogue.systems import CHECKOUT, RESULTS, System, systems
from nearfar.claims.found import Found, found, with_claims
from nearfar.claims.record import ClaimRecord, stored
from nearfar.claims.table import ClaimRow, claim_rows
from nearfar.core.errors import NearfarError
from nearfar.core.parts import BY_NAME, RECIPES, Part, parts

PAGES = "docs"  # the folder of a checkout that holds the documents


@dataclass(frozen=True)
class Contents:
    """What there is to tell.

    parts         all parts, those of the public face first
    compositions  recipes taken apart, by name
    claims        recipes that make a claim, by name
    records       stored outcomes, by name
    systems       rows of the table of systems
    checkout      where documents and sources lie
    failures      what went wrong in the gathering; an error where the pages are rendered
    """

    parts: tuple[Part, ...]
    compositions: Mapping[str, Composition] = field(default_factory=dict)
    claims: Mapping[str, Found] = field(default_factory=dict)
    records: Mapping[str, ClaimRecord] = field(default_factory=dict)
    systems: Sequence[System] = ()
    checkout: Path | None = None
    failures: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Part]:
        """Parts by name; where names are shared, what is offered to Python goes before recipes and data sets."""
        order = sorted(self.parts, key=lambda part: (part.kind not in BY_NAME, part.kind != FACE_KIND))
        return {part.name: part for part in order}

    @cached_property
    def links(self) -> dict[str, str]:
        """Name -> page."""
        return {name: file_name(part) for name, part in self.by_name.items()}

    @cached_property
    def recipes(self) -> tuple[Part, ...]:
        """All recipes."""
        return tuple(part for part in self.parts if part.kind == RECIPES)

    @cached_property
    def families(self) -> dict[str, list[Part]]:
        """Recipes by family."""
        found: dict[str, list[Part]] = {}
        for part in self.recipes:
            found.setdefault(part.family, []).append(part)
        return found

    @cached_property
    def kinds(self) -> dict[str, list[Part]]:
        """All other parts by kind."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            if part.kind != RECIPES:
                found.setdefault(part.kind, []).append(part)
        return found

    @cached_property
    def users(self) -> dict[str, list[str]]:
        """Part -> recipes that are made of it, or whose claim is tried with it."""
        found: dict[str, list[str]] = {}
        for recipe in self.recipes:
            pieces = self.compositions[recipe.name].pieces if recipe.name in self.compositions else ()
            for name in dict.fromkeys(piece.name for piece in pieces):
                found.setdefault(name, []).append(recipe.name)
        return found

    @cached_property
    def rows(self) -> list[ClaimRow]:
        """Stored claims with their false discovery rate."""
        return claim_rows(self.records)

    @cached_property
    def documents(self) -> tuple[Path, ...]:
        """The pages of docs/ in the order in which the README comes to them, then those at the top of the checkout."""
        if self.checkout is None:
            return ()
        readme = self.checkout / "README.md"
        told = readme.read_text("utf-8") if readme.is_file() else ""

        def place(path: Path) -> tuple[int, str]:
            at = told.find(f"({PAGES}/{path.name})")
            return (at if at >= 0 else len(told), path.name)

        return (*sorted((self.checkout / PAGES).glob("*.md"), key=place), *sorted(self.checkout.glob("*.md")))

    def verdict(self, name: str) -> str:
        """Of a claim: "" where it was not run, "unfinished" where not to its end."""
        return (self.records[name].verdict or "unfinished") if name in self.records else ""

    def is_current(self, name: str) -> bool:
        """Whether the stored record of a claim is of the claim as it stands now."""
        return name in self.claims and self.claims[name].fingerprint == self.records[name].fingerprint


def file_name(part: Part) -> str:
    """The page of a part; kinds keep a rule and a recipe of one name apart, a mark `Rows` and `rows`, which some file systems do not."""
    mark = "" if part.name == part.name.lower() else "-"
    return f"{part.kind.replace(' ', '-')}.{part.name}{mark}.html"


def kind_page(kind: str) -> str:
    """The page of a kind of parts."""
    return f"parts-{kind.replace(' ', '-')}.html"


def family_page(family: str) -> str:
    """The page of a family of recipes."""
    return f"recipes-{family.replace('/', '-')}.html" if family else "recipes.html"


def gather(checkout: Path = CHECKOUT, results: Path | None = None) -> Contents:
    """Gather it. Imports every recipe; nothing is trained and nothing measured."""
    everything = (*face(), *parts(with_announced=False))
    return told(everything, checkout if (checkout / PAGES).is_dir() else None, results or checkout / RESULTS)


def told(everything: Sequence[Part], checkout: Path | None, results: Path) -> Contents:
    """The contents for some parts."""
    modules = {part.module: part for part in everything if part.kind != FACE_KIND}
    compositions: dict[str, Composition] = {}
    claims: dict[str, Found] = {}
    failures: list[str] = []
    claiming = set(with_claims())
    for part in everything:
        if part.kind != RECIPES:
            continue
        try:
            compositions[part.name] = composition(part, part.load()(), modules)
            if part.name in claiming:
                claims[part.name] = found(part.name)
        except (NearfarError, ImportError) as error:
            failures.append(f"{part.file}:{part.line}: {error}")
    records = {name: one for name, one in stored(results).items() if name in claims}
    failures += [f"{results / name}.json: no recipe makes this claim" for name in stored(results) if name not in claims]
    return Contents(tuple(everything), compositions, claims, records, systems(), checkout, tuple(failures))
