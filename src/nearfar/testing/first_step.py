"""A recipe in short: with the settings of its `SMOKE`, on small data, and before its first step - to compare with loops over numbers.

from nearfar.testing.first_step import first_step

made = first_step("decoupled_views")              # or the path of a file of one's own
made.loss, made.rows["x"].vectors                 # of the first batch, nothing trained yet
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.parts import RECIPES, find
from nearfar.core.recipe import Recipe
from nearfar.core.rows import Rows
from nearfar.core.smoke import Smoke
from nearfar.core.tree import override
from nearfar.data.records import Records
from nearfar.testing.small_data import small_data
from nearfar.training.own_file import module_of_file
from nearfar.training.prepare import Prepared, prepare, towers_of
from nearfar.training.refresh import refreshed


@dataclass(frozen=True, eq=False)
class FirstStep:
    """A recipe on small data before its first step; the last three are None for a recipe that optimises nothing.

    prepared  the learner (towers, heads, objective) and the batches
    streams   what goes in: `Stream`s by name
    step      what `nf.backward` gave: loss, terms, rows of every stream
    """

    recipe: Recipe
    records: Records
    prepared: Prepared | None = None
    streams: Mapping[str, Any] | None = None
    step: Any = None

    @property
    def rows(self) -> Mapping[str, Rows]:
        """The rows of every stream, as the objective sees them."""
        return self.step.rows

    @property
    def loss(self) -> float:
        """The objective's value."""
        return float(self.step.loss)


def in_short(recipe: str) -> tuple[Recipe, Records]:
    """The recipe with its smoke's settings, and small records of its kind. Raises UsageError for one that has no `SMOKE`."""
    if recipe.endswith(".py"):
        module = module_of_file(recipe)
        smoke, made = getattr(module, "SMOKE", None), module.recipe()
    else:
        part = find(recipe, RECIPES)
        smoke, made = part.load("SMOKE"), part.load()()
    if not isinstance(smoke, Smoke):
        raise UsageError(f"{recipe} cannot be tried out", where="SMOKE", remedy='write SMOKE = Smoke("images", {...})')
    for setting, value in smoke.settings.items():
        made = override(made, f"{setting}={value}")
    return made, small_data(smoke.data, smoke.n)


def first_step(recipe: str) -> FirstStep:
    """The first step of its first Fit, in evaluation mode: no chance in it but the views'."""
    made, records = in_short(recipe)
    if not made.fits:
        return FirstStep(made, records)
    towers, heads = towers_of(made, records)
    prepared = prepare(made.fits[0], made, records, towers, heads)
    prepared.learner.eval()
    if made.fits[0].refresh:
        prepared.batches.with_columns(**refreshed(made.fits[0].refresh, prepared.batches, made.seed))
    streams = prepared.batches.streams(0)
    step = nf.backward(prepared.learner.at_this_step(), streams)
    return FirstStep(made, records, prepared, streams, step)
