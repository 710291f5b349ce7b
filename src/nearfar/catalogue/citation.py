"""BibTeX for what you used: the papers that a part or recipe names, and nearfar itself.

Papers are told by their arXiv id or DOI on a recipe's card, or by the line "Source: Authors Year (arXiv id)" of a part's text.
Authors and titles stand in `papers.json` beside this file, each paper once; a paper that is not there is cited by what the
source says of it, and no guess. A system without such an id is cited by its title in the table of systems.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nearfar
from nearfar.catalogue.source import describe, find_any
from nearfar.catalogue.systems import rows
from nearfar.core.errors import UsageError
from nearfar.core.parts import RECIPES, Part, parts

TITLE = "nearfar: contrastive learning, one loss and every way of running it"
AUTHOR = "The nearfar authors"

_ARXIV = re.compile(r"\b(\d{4}\.\d{4,5})(?:v\d+)?\b")
_DOI = re.compile(r"\b(10\.\d{4,9}/[^\s(){},;]+)")
# "van den Oord et al. 2018 (arXiv 1807.03748)", "Tian and Isola 2020 (arXiv ...)"
_WRITTEN = re.compile(
    r"(?P<author>[^\W\d_][\w.'-]*(?:\s+(?:and\s+)?[^\W\d_][\w.'-]*)*?)(?P<others>\s+et\s+al\.)?,?\s+(?P<year>(?:19|20)\d\d)\s+"
    r"\((?:arXiv\s+(?P<arxiv>\d{4}\.\d{4,5})|doi\s+(?P<doi>10\.\d{4,9}/[^\s(){},;]+))"
)


# "Source: Wilkie et al. 2025 (CLAN, ...": a paper without an id
_BEGINNING = re.compile(
    r"Source: (?P<author>[^\W\d_][\w.' -]*?)(?P<others>\s+et\s+al\.)?,?\s+(?P<year>(?:19|20)\d\d)\b"
)
_SYSTEM = re.compile(r"\d{3}")


@dataclass(frozen=True)
class Paper:
    """A paper as far as the sources tell it; `year` of an arXiv id alone is that of its first version.

    The `id` is that of arXiv, a DOI, or "system 012" for one that is known by its title alone.
    """

    id: str
    author: str = ""
    year: str = ""
    title: str = ""

    @property
    def key(self) -> str:
        """The BibTeX key, made of the id, so that two parts that name one paper agree."""
        if self.id.startswith("system "):
            return self.id.replace(" ", ":")
        return ("arxiv:" if is_arxiv(self.id) else "doi:") + self.id


def is_arxiv(identifier: str) -> bool:
    """Whether an id is one of arXiv's."""
    return _ARXIV.fullmatch(identifier) is not None


def papers_of(part: Part) -> list[Paper]:
    """The papers that a part names, on its card first, then in its text; each once."""
    text = " ".join(describe(part).text.split())
    written = {match["arxiv"] or match["doi"]: _from_text(match) for match in _WRITTEN.finditer(text)}
    named = [*part.card.papers, *_ARXIV.findall(text), *(doi.rstrip(".") for doi in _DOI.findall(text))]
    known = known_papers()
    if not named and part.card.systems:
        match = _BEGINNING.search(text)
        author, year = (_author(match), match["year"]) if match else ("", "")
        return [Paper(_by_title(system).id, author, year, _by_title(system).title) for system in part.card.systems]
    return [known.get(i) or written.get(i) or _bare(i) for i in dict.fromkeys(named)]


def _by_title(system: str) -> Paper:
    """A system's paper by the title in the table. Raises UsageError for a number that is not there."""
    for row in rows():
        if row["id"] == system:
            return Paper(f"system {system}", title=row["title"])
    raise UsageError(f"there is no system {system!r}", remedy="`nearfar list --systems` shows them")


def used(word: str) -> list[Part]:
    """What a word names: a part, a recipe, a name of the public face - or, for the number of a system, the recipes that hold it.

    Raises UsageError for a word that names nothing; a system without a recipe gives an empty list.
    """
    if not _SYSTEM.fullmatch(word):
        return [find_any(word)]
    _by_title(word)
    return [part for part in parts(RECIPES) if word in part.card.systems]


@lru_cache(maxsize=1)
def known_papers() -> dict[str, Paper]:
    """The papers file, by id."""
    entries = json.loads(Path(__file__).with_name("papers.json").read_text("utf-8"))
    return {identifier: Paper(identifier, **entry) for identifier, entry in entries.items()}


def _from_text(match: re.Match[str]) -> Paper:
    return Paper(match["arxiv"] or match["doi"], _author(match), match["year"])


def _author(match: re.Match[str]) -> str:
    return match["author"].removeprefix("Source: ").strip() + (" and others" if match["others"] else "")


def _bare(identifier: str) -> Paper:
    return Paper(identifier, "", "20" + identifier[:2] if is_arxiv(identifier) else "")


def bibtex(paper: Paper, note: str) -> str:
    """A @misc entry; `note` says what used it."""
    title = f"{{{paper.title}}}" if paper.title else ""
    fields = {"author": paper.author, "title": title, "year": paper.year}
    if is_arxiv(paper.id):
        fields |= {"eprint": paper.id, "archivePrefix": "arXiv", "url": f"https://arxiv.org/abs/{paper.id}"}
    elif not paper.id.startswith("system "):
        fields |= {"doi": paper.id, "url": f"https://doi.org/{paper.id}"}
    return _entry("misc", paper.key, fields | {"note": note})


def in_words(paper: Paper) -> str:
    """A paper as a line of text: "Yeh and others 2021. Decoupled Contrastive Learning. arXiv 2110.06848."."""
    names = [name.partition(",")[0] for name in paper.author.split(" and ") if name]
    author = " and ".join(names) if len(names) < 3 else f"{names[0]} and others"
    where = "" if paper.id.startswith("system ") else f"arXiv {paper.id}" if is_arxiv(paper.id) else f"doi {paper.id}"
    pieces = [" ".join(filter(None, (author, paper.year))), paper.title, where]
    return ". ".join(piece for piece in pieces if piece) + "."


def software() -> str:
    """The entry of nearfar itself; CITATION.cff says the same (a test compares)."""
    fields = {"author": f"{{{AUTHOR}}}", "title": f"{{{TITLE}}}", "version": nearfar.__version__}
    return _entry("software", "nearfar", fields)


def _entry(sort: str, key: str, fields: dict[str, str]) -> str:
    width = max(map(len, fields))
    lines = [f"  {name.ljust(width)} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{sort}{{{key},", *lines, "}"])


def citations(chosen: list[Part]) -> list[tuple[Paper, list[str]]]:
    """Each paper that the chosen parts name, with the names of those parts."""
    users: dict[str, tuple[Paper, list[str]]] = {}
    for part in chosen:
        for paper in papers_of(part):
            known, names = users.get(paper.id, (paper, []))
            users[paper.id] = (known if known.author else paper, [*names, part.name])
    return list(users.values())


def cited(words: list[str]) -> tuple[list[tuple[Paper, list[str]]], list[str]]:
    """The papers behind parts, recipes and systems by name or number, with who names them; and the words that name none.

    Raises UsageError for a word that names nothing.
    """
    chosen = {word: used(word) for word in words}
    found = citations([part for parts_of in chosen.values() for part in parts_of])
    found += [(_by_title(word), [f"system {word}"]) for word, parts_of in chosen.items() if not parts_of]
    naming = {name for _, names in found for name in names}
    return found, [word for word, of in chosen.items() if of and not any(part.name in naming for part in of)]
