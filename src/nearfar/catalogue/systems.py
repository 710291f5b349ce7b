"""The 256 systems that the library is to hold, a row each, and how far each one is: recipe, smoke, reference, verdict.

What is known of a system is read off the files: the recipe whose card names it, `SMOKE` and `CLAIM` in that file, the loops under
tests/, the stored outcome of the claim. Where the library is installed without its checkout, references and outcomes are not there to
be seen, and are said to be unknown.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nearfar.core.parts import PACKAGE, RECIPES, parts

FILE = Path(__file__).with_name("systems.tsv")
CHECKOUT = PACKAGE.parent.parent
RESULTS = Path("claims", "results")
REFERENCES = Path("tests", "references", "recipes")
FITS = {
    "A": "its mechanism is a part, and shows itself on small data",
    "B": "needs an encoder, data or modality of its own",
    "C": "mostly a pipeline of its field, of which the contrastive part is taken",
    "D": "outside",
}


@dataclass(frozen=True)
class System:
    """A row: the paper's system, where its recipe belongs, and how far it is.

    recipe     names of the recipes that hold it; reference and verdict are those of the first
    smoke, reference  whether there is one; None: it cannot be seen from here
    verdict    of its claim: "" for none yet
    """

    id: str
    name: str
    title: str
    modality: str
    folder: str
    fit: str
    recipes: tuple[str, ...] = ()
    smoke: bool = False
    reference: bool | None = None
    verdict: str | None = None

    @property
    def state(self) -> str:
        """In a word: the verdict, or how far it has come."""
        if not self.recipes:
            return "-"
        return self.verdict or ("recipe" if self.smoke else "recipe without a smoke")


@lru_cache(maxsize=1)
def rows() -> tuple[dict[str, str], ...]:
    """The rows of the table as they stand in the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def systems(checkout: Path = CHECKOUT) -> list[System]:
    """All rows with their state, in the order of their ids."""
    from nearfar.claims.record import stored

    recipes: dict[str, list[Any]] = {}
    for part in parts(RECIPES):
        for system in part.card.systems:
            recipes.setdefault(system, []).append(part)
    there = (checkout / "tests").is_dir()
    verdicts = {name: record.verdict for name, record in stored(checkout / RESULTS).items()}
    made = []
    for row in rows():
        mine = recipes.get(row["id"], [])
        first = mine[0] if mine else None
        made.append(
            System(
                **row,
                recipes=tuple(part.name for part in mine),
                smoke=first is not None and "\nSMOKE" in Path(first.file).read_text("utf-8"),
                reference=(first is not None and (checkout / REFERENCES / f"{first.name}.py").is_file())
                if there
                else None,
                verdict=(verdicts.get(first.name, "") if first is not None else "") if there else None,
            )
        )
    return made


def as_data(found: list[System]) -> list[dict[str, Any]]:
    """Rows as JSON."""
    return [asdict(one) | {"state": one.state} for one in found]


def as_text(found: list[System], width: int = 100) -> str:
    """A line a system, then how many there are of each state."""
    lines = []
    for one in found:
        recipe = ", ".join(one.recipes)
        line = f"{one.id}  {one.fit}  {one.folder:<11} {one.state:<16} {recipe:<26} {one.name}: {one.title}"
        lines.append(line if len(line) <= width else line[: width - 1].rstrip() + "…")
    counts = Counter(one.state for one in found)
    held = sum(1 for one in found if one.recipes)
    told = ", ".join(f"{count} {state}" for state, count in counts.most_common() if state != "-")
    fits = "; ".join(f"{fit}: {what}" for fit, what in FITS.items())
    return "\n".join(
        [*lines, "", f"{held} of {len(found)} systems have a recipe" + (f": {told}" if told else ""), fits]
    )
