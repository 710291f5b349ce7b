"""Every kind of stage is used by a recipe of the catalogue, so that none is machinery that no method needs."""

from nearfar.core.parts import RECIPES, parts
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Decode, Fit, Measure, Refresh, Transform

KINDS = (Fit, Refresh, Transform, Decode, Measure)
OWN = "a stage of one's own"


def kinds_of(recipe: Recipe) -> set[str]:
    """The kinds of its stages; what is refreshed within a Fit counts too."""
    stages = [*recipe.stages, *(refresh for fit in recipe.fits for refresh in fit.refresh)]
    return {type(stage).__name__ if isinstance(stage, KINDS) else OWN for stage in stages}


def unused(by_recipe):
    """The kinds that none of some recipes has."""
    return {*(kind.__name__ for kind in KINDS), OWN} - {kind for kinds in by_recipe for kind in kinds}


def test_every_kind_of_stage_is_used():
    by_recipe = {part.name: kinds_of(part.load()()) for part in parts(RECIPES, with_announced=False)}
    assert unused(by_recipe.values()) == set()
    for kind in (*(kind.__name__ for kind in KINDS), OWN):
        without = [kinds for kinds in by_recipe.values() if kind not in kinds]
        assert kind in unused(without), f"{kind} is found where nothing uses it"
