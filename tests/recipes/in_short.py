"""Finds the loops of a recipe: tests/references/recipes/NAME.py, which every recipe with a smoke must have.

loops(made)     the loss of the first step in loops over single numbers; `made` is a `nearfar.testing.first_step.FirstStep`
wrong(made)     the same with a mistake that people make
ours(made)      optional: what is compared instead of the first step's loss, a number or a list of numbers
"""

import importlib.util
from pathlib import Path

import torch

from nearfar.core.parts import RECIPES, parts

REFERENCES = Path(__file__).parents[1] / "references" / "recipes"
WITH_SMOKE = [p.name for p in parts(RECIPES, with_announced=False) if "\nSMOKE" in Path(p.file).read_text("utf-8")]


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
