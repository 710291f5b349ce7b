"""BibTeX for what you used: the papers that a part or recipe names, and nearfar itself.

Papers are told by their arXiv id or DOI on a recipe's card, or by the line "Source: Authors Year (arXiv id)" of a part's text.
Authors and titles stand in `papers.json` beside this file, each paper once; a paper that is not there is cited by what the
source says of it, and no guess.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nearfar
from nearfar.catalogue.source import describe
from nearfar.core.parts import Part

TITLE = "nearfar: contrastive learning, one loss and every way of running it"
AUTHOR = "The nearfar authors"

_ARXIV = re.compile(r"\b(\d{4}\.\d{4,5})(?:v\d+)?\b")
_DOI = re.compile(r"\b(10\.\d{4,9}/[^\s(){},;]+)")
# "van den Oord et al. 2018 (arXiv 1807.03748)", "Tian and Isola 2020 (arXiv ...)"
_WRITTEN = re.compile(
    r"(?P<author>[^\W\d_][\w.'-]*(?:\s+(?:and\s+)?[^\W\d_][\w.'-]*)*?)(?P<others>\s+et\s+al\.)?,?\s+(?P<year>(?:19|20)\d\d)\s+"
    r"\((?:arXiv\s+(?P<arxiv>\d{4}\.\d{4,5})|doi\s+(?P<doi>10\.\d{4,9}/[^\s(){},;]+))"
)


@dataclass(frozen=True)
class Paper:
    """A paper as far as the sources tell it; `year` of an arXiv id alone is that of its first version."""

    id: str
    author: str = ""
    year: str = ""
    title: str = ""

    @property
    def key(self) -> str:
        """The BibTeX key, made of the id, so that two parts that name one paper agree."""
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
    return [known.get(i) or written.get(i) or _bare(i) for i in dict.fromkeys(named)]


@lru_cache(maxsize=1)
def known_papers() -> dict[str, Paper]:
    """The papers file, by id."""
    entries = json.loads(Path(__file__).with_name("papers.json").read_text("utf-8"))
    return {identifier: Paper(identifier, **entry) for identifier, entry in entries.items()}


def _from_text(match: re.Match[str]) -> Paper:
    author = match["author"].removeprefix("Source: ").strip()
    return Paper(match["arxiv"] or match["doi"], author + (" and others" if match["others"] else ""), match["year"])


def _bare(identifier: str) -> Paper:
    return Paper(identifier, "", "20" + identifier[:2] if is_arxiv(identifier) else "")


def bibtex(paper: Paper, note: str) -> str:
    """A @misc entry; `note` says what used it."""
    title = f"{{{paper.title}}}" if paper.title else ""
    fields = {"author": paper.author, "title": title, "year": paper.year}
    if is_arxiv(paper.id):
        fields |= {"eprint": paper.id, "archivePrefix": "arXiv", "url": f"https://arxiv.org/abs/{paper.id}"}
    else:
        fields |= {"doi": paper.id, "url": f"https://doi.org/{paper.id}"}
    return _entry("misc", paper.key, fields | {"note": note})


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
