"""What the catalogue holds: how many parts of each kind, which systems and papers the recipes cover."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nearfar.core.parts import RECIPES, parts


def coverage() -> dict[str, Any]:
    """Counts by kind, and for every system and paper the recipes that hold it."""
    everything = parts()
    systems: dict[str, list[str]] = {}
    papers: dict[str, list[str]] = {}
    for part in everything:
        if part.kind != RECIPES:
            continue
        for system in part.card.systems:
            systems.setdefault(system, []).append(part.name)
        for paper in part.card.papers:
            papers.setdefault(paper, []).append(part.name)
    return {
        "parts": dict(Counter(part.kind for part in everything)),
        "systems": dict(sorted(systems.items())),
        "papers": dict(sorted(papers.items())),
    }


def as_text() -> str:
    """One line a kind, then the number of systems and papers."""
    held = coverage()
    width = max((len(kind) for kind in held["parts"]), default=0)
    lines = [f"{kind.ljust(width)}  {count:4d}" for kind, count in held["parts"].items()]
    return "\n".join([*lines, f"systems held by recipes: {len(held['systems'])}; papers: {len(held['papers'])}"])
