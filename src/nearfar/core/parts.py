"""Finds parts by their cards and turns names into objects: the one place where a string becomes a function.

Names resolve through the package's own cards and the entry point group `nearfar.parts`, never by importing a path: a
configuration is data, and whoever sends you one must not choose what runs. The folder of a part is its kind.

A part in another distribution is announced in its pyproject.toml, with the kind before the dot:

    [project.entry-points."nearfar.parts"]
    "objectives.hinge" = "my_package.hinge"          # a module with a CARD and the function `hinge`
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from nearfar.core.card import Card
from nearfar.core.card_reader import read_card
from nearfar.core.errors import UsageError

ENTRY_POINTS = "nearfar.parts"
INDEX = "parts.json"
INDEX_VERSION = 1
PACKAGE = Path(__file__).resolve().parent.parent
RECIPES = "recipes"  # composed of parts
BY_NAME = frozenset(
    {RECIPES, "datasets", "measures"}
)  # reached by name through `train` and claims, not offered as `nearfar.<name>`
_NO_PARTS = frozenset({"core", "cli", "catalogue", "__pycache__"})


@dataclass(frozen=True)
class Part:
    """A card and where it was found.

    kind    the top folder: "objectives", "relations", "recipes"
    family  the folder below it, if any ("text" for recipes/text/simcse.py), else ""
    module  the module that defines it
    file    path of the source
    line    line on which the card starts
    source  "" for a part of this package, else the name of the distribution that announced it
    """

    card: Card
    kind: str
    family: str
    module: str
    file: str
    line: int
    source: str = ""

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def public(self) -> tuple[str, ...]:
        """What the part offers as `nearfar.<name>`; parts from elsewhere are imported from where they live."""
        if self.source or self.kind in BY_NAME:
            return ()
        return self.card.public or (self.card.name,)

    @property
    def attribute(self) -> str:
        """What of the module is the part: `recipe` of a recipe, what bears its name, else the first of what it offers."""
        if self.kind == RECIPES:
            return "recipe"
        return self.name if not self.card.public or self.name in self.card.public else self.card.public[0]

    def load(self, attribute: str | None = None) -> Any:
        """Import the module and return the part, or one attribute of the module."""
        attribute = attribute or self.attribute
        module = importlib.import_module(self.module)
        try:
            return getattr(module, attribute)
        except AttributeError as error:
            remedy = f"define {attribute} in it, or correct the card"
            raise UsageError(
                f"the part {self.name!r} has no {attribute!r}", where=f"{self.file}:{self.line}", remedy=remedy
            ) from error


def scan(package: Path = PACKAGE) -> list[Part]:
    """The parts of a package folder, read from the sources; sorted by kind, family and name."""
    found: list[Part] = []
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(f for f in folders if f not in _NO_PARTS)
        place = Path(folder).relative_to(package).parts
        if not place:
            continue
        for file in sorted(files):
            if not file.endswith(".py") or file.startswith("_"):
                continue
            path = Path(folder, file)
            card = read_card(path)
            if card is not None:
                module = ".".join([package.name, *place, file[:-3]])
                found.append(Part(card.card, place[0], "/".join(place[1:]), module, str(path), card.line))
    return sorted(found, key=lambda part: (part.kind, part.family, part.name))


@lru_cache(maxsize=1)
def built_in() -> tuple[Part, ...]:
    """The parts of this package: from the index that the wheel carries, else from the sources."""
    index = PACKAGE / INDEX
    if not index.is_file():
        return tuple(scan(PACKAGE))
    stored = json.loads(index.read_text("utf-8"))
    if stored["version"] != INDEX_VERSION:
        return tuple(scan(PACKAGE))
    return tuple(_from_index(entry) for entry in stored["parts"])


def write_index(path: Path, package: Path = PACKAGE) -> None:
    """Write the index that a wheel carries; files are stored relative to the package."""
    entries = [asdict(part) | {"file": Path(part.file).relative_to(package).as_posix()} for part in scan(package)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": INDEX_VERSION, "parts": entries}, indent=1) + "\n", "utf-8")


def _from_index(entry: dict[str, Any]) -> Part:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry["card"].items()
    }
    return Part(**(entry | {"card": Card(**fields), "file": str(PACKAGE / entry["file"])}))


@lru_cache(maxsize=1)
def announced() -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Parts of other distributions, and what is wrong with those that cannot be read.

    A broken one is reported, never raised: somebody else's package must not take the list down.
    """
    from importlib.metadata import entry_points  # here, because it reads every installed distribution

    found, problems = [], []
    for entry in entry_points(group=ENTRY_POINTS):
        source = entry.dist.name if entry.dist else "unknown"
        try:
            found.append(_announced_part(entry.name, entry.module, source))
        except (UsageError, ValueError, ImportError) as error:
            problems.append(f"the part {entry.name!r} of {source} is left out: {error}")
    return tuple(found), tuple(problems)


def _announced_part(entry_name: str, module: str, source: str) -> Part:
    kind, _, name = entry_name.partition(".")
    if not name:
        raise UsageError(
            "an entry point of nearfar.parts is named KIND.NAME", where=entry_name, remedy="such as objectives.hinge"
        )
    path = _source_of(module)
    found = read_card(path) if path is not None else None
    if path is None or found is None:
        raise UsageError(
            f"the module {module} has no card", where=str(path or module), remedy='write CARD = Card(name="...", ...)'
        )
    if found.card.name != name:
        raise UsageError(f"the card is named {found.card.name!r}", where=f"{path}:{found.line}", remedy="use one name")
    return Part(found.card, kind, "", module, str(path), found.line, source)


def _source_of(module: str) -> Path | None:
    """The source file of a module, found without importing it or the packages it lies in."""
    from importlib.util import find_spec

    first, *rest = module.split(".")
    spec = find_spec(first)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        for candidate in (Path(folder, *rest).with_suffix(".py"), Path(folder, *rest, "__init__.py")):
            if candidate.is_file():
                return candidate
    return None


def parts(kind: str | None = None, *, with_announced: bool = True) -> tuple[Part, ...]:
    """All parts, or those of a kind; an unknown kind is a UsageError that lists the kinds."""
    everything = built_in() + (announced()[0] if with_announced else ())
    if kind is None:
        return everything
    chosen = tuple(part for part in everything if part.kind == kind)
    if not chosen:
        known = tuple(dict.fromkeys(part.kind for part in everything))
        raise unknown(kind, known, "kind of part")
    return chosen


def find(name: str, kind: str | None = None) -> Part:
    """The part of that name; without a kind, a part goes before a recipe or data set of the same name.

    Raises UsageError, which lists the nearest names, for an unknown name.
    """
    for with_announced in (False, True):  # other distributions are only asked when this package has no such part
        matches = [p for p in parts(with_announced=with_announced) if p.name == name and kind in (None, p.kind)]
        if matches:
            return min(matches, key=lambda part: part.kind in BY_NAME)
    raise unknown(name, [part.name for part in parts(kind)], kind or "part")


def resolve(name: str, kind: str | None = None) -> Any:
    """The object behind a name: `resolve("info_nce")`, `resolve("pairs", kind="recipes")`."""
    return find(name, kind).load()


def public_names() -> dict[str, Part]:
    """What the parts of this package offer as `nearfar.<name>`, and the part behind each name."""
    return {name: part for part in built_in() for name in part.public}


def unknown(name: str, known: Iterable[str], noun: str) -> UsageError:
    """The error for a name that does not exist: it lists the nearest ones, or all when there are few."""
    known = sorted(set(known))
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        remedy = "did you mean " + " or ".join(near) + "?"
    else:
        remedy = "there are " + ", ".join(known) if 0 < len(known) <= 12 else "`nearfar list` shows what there is"
    return UsageError(f"there is no {noun} named {name!r}", remedy=remedy)
