"""What a recipe is said to be made of is what its tree names."""

import dataclasses

import pytest

from nearfar.catalogue.site.composition import CODE, TRIAL, Piece, composition
from nearfar.core.card import Card
from nearfar.core.parts import RECIPES, Part, built_in
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe
from nearfar.core.stage import Decode, Fit, Transform
from nearfar.core.tree import to_json
from nearfar.core.use import Use

MODULES = {part.module: part for part in built_in()}
FILE = '''
"""A recipe."""
from nearfar.keys.queue import queue
from nearfar.objectives.triplet import triplet as kept
from nearfar.probes.outcome import Outcome
from nearfar.recipes.text.pairs import recipe as pairs

MARGIN = kept(0.3)

def helper():
    return MARGIN

def recipe():
    return pairs(), helper

def trial():
    return Outcome, queue
'''


def taken_apart(tmp_path, recipe, text=""):
    path = tmp_path / "made.py"
    path.write_text(text)
    return composition(Part(Card("made", "m"), RECIPES, "", "made", str(path), 1), recipe, MODULES)


def own_term(vectors):
    """Pulls."""


RECIPE = Recipe(
    "made",
    Use("static", {"dimension": 8}),
    Contrast(rule=Use("triplet", {"margin": 0.1}), relation="paired", edits=("hardest", Use("semi_hard"))),
    also=(Also("spread", own_term), Also("further", Contrast(rule="decoupled", keys=Use("queue")))),
    streams=(Feed("x", "query", views=("word_crop",), head="p"), Feed("y", "document")),
    heads=(Named("p", "projector", {"depth": 2}),),
    stages=(Fit(), Transform("white", "whiten")),
)
EXPECTED = {
    ("encoder", "static"),
    ("objective.rule", "triplet"),
    ("objective.relation", "paired"),
    ("objective.hardest", "hardest"),
    ("objective.semi_hard", "semi_hard"),
    ("white.by", "whiten"),
    ("x.word_crop", "word_crop"),
    ("p", "projector"),
    ("further.term.rule", "decoupled"),
    ("further.term.relation", "paired"),
    ("further.term.keys", "queue"),
}


def test_a_known_recipe(tmp_path):
    found = taken_apart(tmp_path, RECIPE)
    assert {(piece.role, piece.name) for piece in found.pieces} == EXPECTED
    assert Piece("p", "projector", {"depth": 2}) in found.pieces
    assert found.own == (("spread.term", "own_term", "Pulls."),)
    other = dataclasses.replace(RECIPE, encoder=Use("transformer"))
    assert {(piece.role, piece.name) for piece in taken_apart(tmp_path, other).pieces} != EXPECTED


def test_what_the_code_calls_and_what_only_the_trial_does(tmp_path):
    found = taken_apart(tmp_path, Recipe("made", Use("static")), FILE)
    roles = {piece.name: piece.role for piece in found.pieces}
    assert (roles["triplet"], roles["queue"], roles["outcome"]) == (CODE, TRIAL, TRIAL)
    assert found.recipes == ("pairs",)
    assert "triplet" in found.names
    assert "queue" not in found.names


def test_an_objective_that_nothing_optimises_is_left_out(tmp_path):
    decoding = Recipe("made", Use("pretrained"), stages=(Decode("go", Use("continuations")),))
    assert {p.name for p in taken_apart(tmp_path, decoding).pieces} == {"pretrained", "continuations"}
    fitted = dataclasses.replace(decoding, stages=(*decoding.stages, Fit()))
    assert "info_nce" in {p.name for p in taken_apart(tmp_path, fitted).pieces}


def named(tree):
    """Every "part" of a tree as JSON, by a plain walk."""
    if isinstance(tree, dict):
        own = {tree["part"]} if isinstance(tree.get("part"), str) else set()
        return own.union(*map(named, tree.values()))
    return set().union(*map(named, tree)) if isinstance(tree, list) else set()


@pytest.mark.parametrize("part", [p for p in built_in() if p.kind == RECIPES], ids=lambda part: part.name)
def test_every_recipe_holds_the_parts_that_its_json_names(part):
    recipe = part.load()()
    found = {piece.name for piece in composition(part, recipe, MODULES).pieces}
    assert named(to_json(recipe)) - {""} <= found
    assert found <= {p.name for p in built_in()}
    without = dataclasses.replace(recipe, encoder=Use("nobody"))
    assert not named(to_json(without)) <= found
