"""Recipes in short: each on its smoke's small data, trained to its end, or taken to its first step.

tests/references/recipes/NAME.py, which every recipe with a smoke must have, is the recipe's loss (or whatever it computes) once more:

    loops(made)     the loss of the first step in loops over single numbers; `made` is a `FirstStep`
    wrong(made)     the same with a mistake that people make
    ours(made)      optional: what is compared instead of the first step's loss, a number or a list of numbers
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nearfar as nf
from nearfar.core.parts import RECIPES, find, parts
from nearfar.core.tree import override
from nearfar.testing.small_data import small_data
from nearfar.training.prepare import prepare, towers_of

REFERENCES = Path(__file__).parents[1] / "references" / "recipes"
WITH_SMOKE = [p.name for p in parts(RECIPES, with_announced=False) if "\nSMOKE" in Path(p.file).read_text("utf-8")]


@dataclass(frozen=True)
class FirstStep:
    """A recipe on small data before its first step. `step`, `rows` and `loss` are of that step, nothing trained yet."""

    recipe: Any
    records: Any
    prepared: Any = None
    streams: Any = None
    step: Any = None

    @property
    def rows(self):
        return self.step.rows

    @property
    def loss(self):
        return float(self.step.loss)


def small(name):
    """(recipe with its smoke's settings, small records)."""
    part = find(name, RECIPES)
    smoke, recipe = part.load("SMOKE"), part.load()()
    for setting, value in smoke.settings.items():
        recipe = override(recipe, f"{setting}={value}")
    return recipe, small_data(smoke.data, smoke.n)


def first_step(name):
    """The first Fit's first step in evaluation mode, so that it has no chance in it but the views'."""
    recipe, records = small(name)
    if not recipe.fits:
        return FirstStep(recipe, records)
    towers, heads = towers_of(recipe, records)
    prepared = prepare(recipe.fits[0], recipe, records, towers, heads)
    prepared.learner.eval()
    streams = prepared.batches.streams(0)
    step = nf.backward(prepared.learner.at_this_step(), streams)
    return FirstStep(recipe, records, prepared, streams, step)


def reference(name):
    """The recipe's loops as a module."""
    path = REFERENCES / f"{name}.py"
    assert path.exists(), f"write the loops of the recipe {name!r} in tests/references/recipes/{name}.py"
    spec = importlib.util.spec_from_file_location(f"recipe_reference_{name}", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def gap(one, other):
    """The largest difference of two numbers or lists of numbers."""
    a, b = (torch.as_tensor(v, dtype=torch.float64).flatten() for v in (one, other))
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")
