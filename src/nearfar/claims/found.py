"""A recipe with a claim, by name or from a user's own file: the claim, its arms as recipes, and the digest that a record must share."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any

from nearfar.core.claim import MOST_SETTINGS, Arm, Claim
from nearfar.core.errors import UsageError
from nearfar.core.parts import RECIPES, Part, find, parts
from nearfar.core.recipe import Recipe
from nearfar.core.tree import leaves, override, to_json
from nearfar.training.own_file import module_of_file

DIGEST = 16


@dataclass(frozen=True)
class Found:
    """A claim and where it stands: `word` is the recipe's name, or the path of a file of one's own."""

    word: str
    name: str
    file: Path
    claim: Claim
    recipe: Any

    def arm(self, name: str, chosen: Mapping[str, Any] | None = None) -> tuple[Recipe, dict[str, Any]]:
        """An arm's recipe with all that is set in it, and its options; `chosen` are the tuned ones, by setting or option.

        Raises UsageError for a setting that the recipe does not have.
        """
        arm = self.claim.arms[name]
        recipe = self._recipe(arm)
        options: dict[str, Any] = dict(arm.options)
        for setting, value in {**self.claim.both, **arm.settings, **dict(chosen or {})}.items():
            if self.claim.trial is not None and not self._has(recipe, setting):
                options[setting] = value
            else:
                recipe = override(recipe, f"{setting}={value if isinstance(value, str) else json.dumps(value)}")
        return recipe, options

    def _recipe(self, arm: Arm) -> Recipe:
        if callable(arm.recipe):
            return arm.recipe()
        return (find(arm.recipe, RECIPES).load() if arm.recipe else self.recipe)()

    @staticmethod
    def _has(recipe: Recipe, setting: str) -> bool:
        """Whether it is a setting of the recipe; if not, it is an option of the claim's own trial."""
        return setting in leaves(recipe) or "." in setting

    def settings(self) -> list[dict[str, Any]]:
        """The combinations that tuning tries; one empty one where nothing is tuned."""
        names, values = list(self.claim.tune), list(self.claim.tune.values())
        return [dict(zip(names, combination, strict=True)) for combination in product(*values)]

    @property
    def fingerprint(self) -> str:
        """A digest of the claim, of every arm's recipe, and of the code of the files that they stand in.

        Comments, docstrings and `reading` do not count. The library below them does not either, nor what a recipe leaves at its
        default: a setting that is new in the library voids no record. The version is in the record.
        """
        files = {self.file} | {
            Path(find(arm.recipe, RECIPES).file)
            for arm in self.claim.arms.values()
            if isinstance(arm.recipe, str) and arm.recipe
        }
        told = {
            "arms": {name: _chosen(self.arm(name)[0]) for name in self.claim.arms},
            "code": [_code(file) for file in sorted(files, key=lambda file: file.name)],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:DIGEST]


def found(word: str) -> Found:
    """The claim of a recipe, or of a file of one's own.

    Raises UsageError where there is no such recipe, it claims nothing, or its claim is not in order.
    """
    if word.endswith(".py"):
        module, file, name = module_of_file(word), Path(word), Path(word).stem
        claim, recipe = getattr(module, "CLAIM", None), getattr(module, "recipe", None)
    else:
        part = find(word, RECIPES)
        file, name = Path(part.file), part.name
        claim, recipe = _claim_of(part), part.load()
    if not isinstance(claim, Claim):
        raise UsageError(
            f"{name} makes no claim", where=str(file), remedy="write CLAIM = Claim(...) beside its recipe()"
        )
    made = Found(word, name, file, claim, recipe)
    _check(made)
    return made


def with_claims() -> list[str]:
    """Names of the recipes of this package that make a claim, without importing any of them."""
    return [p.name for p in parts(RECIPES, with_announced=False) if "\nCLAIM" in Path(p.file).read_text("utf-8")]


def _claim_of(part: Part) -> Any:
    try:
        return part.load("CLAIM")
    except UsageError:
        return None


def _check(made: Found) -> None:
    claim, where = made.claim, f"{made.file}, CLAIM"
    if len(made.settings()) > MOST_SETTINGS:
        raise UsageError(
            f"tuning would try {len(made.settings())} settings",
            where=where,
            remedy=f"a claim may try {MOST_SETTINGS} at most, so that no arm wins by searching",
        )
    if claim.trial is None and claim.measure is None:
        raise UsageError("nothing is measured", where=where, remedy="give a measure, or a trial of its own")
    if claim.unit == "seed" and claim.n < 2:
        raise UsageError(f"{claim.n} seeds give no interval", where=where, remedy="ten are usual")


def _chosen(node: Any) -> Any:
    """A tree as JSON, without the fields that are as they are by default."""
    if not is_dataclass(node) or isinstance(node, type):
        if isinstance(node, (list, tuple)):
            return [_chosen(item) for item in node]
        return to_json(node)
    told = {}
    for one in fields(node):
        value = getattr(node, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if default is MISSING or value != default:
            told[one.name] = _chosen(value)
    return told


def _code(file: Path) -> str:
    """The code of a file as Python understands it: no comments, no docstrings, nothing of a claim's `reading`."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Claim":
            node.keywords = [k for k in node.keywords if k.arg != "reading"]
    return ast.unparse(tree)
