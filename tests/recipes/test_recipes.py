"""Every recipe with a smoke: it trains on small data, is saved and comes back, and its loss is that of the paper, in loops."""

from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.parts import RECIPES, find, parts
from nearfar.testing.first_step import first_step, in_short
from nearfar.training.train import train_run
from recipes.in_short import WITH_SMOKE, gap, reference

# These are tools of the command line, tested in files of their own; all others must be able to run in a second.
WITHOUT_SMOKE = {"code_search", "pairs", "fine_tune", "image_views"}


def test_every_recipe_can_be_tried_out():
    assert {p.name for p in parts(RECIPES, with_announced=False)} - set(WITH_SMOKE) <= WITHOUT_SMOKE


def encoded(model, records, side):
    """Vectors of some records; of all their nodes, where they are graphs with a row a node."""
    if getattr(getattr(model.tower(side), "setup", None), "pooling", "") == "nodes":
        return np.concatenate(model.encode_nodes(records, side))
    return model.encode(records, side=side)


@pytest.mark.parametrize("name", WITH_SMOKE)
def test_smoke(name, tmp_path):
    recipe, records = in_short(name)
    made = train_run(recipe, records, out=tmp_path / "run")
    assert made.run.directory.exists()
    if recipe.fits:
        assert made.fitted.steps >= 2
        assert np.isfinite(made.fitted.losses).all()
    side, tower = next((s, made.model.tower(s)) for s in made.model.sides)
    field = next(f.field for f in recipe.streams if (f.side or f.field) == side)
    some = made.records.many(field, range(4))
    vectors = encoded(made.model, some, side)
    assert np.isfinite(vectors).all()
    again = nf.load(made.model.save(tmp_path / "model"))
    assert np.array_equal(encoded(again, some, side), vectors)
    if any(isinstance(p, torch.nn.Parameter) for p in tower.parameters()) and recipe.fits:
        fresh = train_run(recipe, records, out=tmp_path / "other", seed=recipe.seed + 1)
        assert not np.array_equal(encoded(fresh.model, some, side), vectors)


@pytest.mark.parametrize("name", WITH_SMOKE)
def test_reference(name):
    loops = reference(name)
    made = first_step(name)
    ours = loops.ours(made) if hasattr(loops, "ours") else made.loss
    assert gap(ours, loops.loops(made)) < 2e-4
    assert gap(ours, loops.wrong(made)) > 1e-3, "the wrong variant passes as right"


@pytest.mark.parametrize("name", [n for n in WITH_SMOKE if "\nCLAIM" in Path(find(n, RECIPES).file).read_text("utf-8")])
def test_its_claim_is_in_order(name):
    from nearfar.claims.expectation import comparisons
    from nearfar.claims.found import found

    made = found(name)
    assert comparisons(made.claim.expect, made.claim.arms)
    assert len(made.fingerprint) == 16
    for arm in made.claim.arms:
        for chosen in made.settings():
            made.arm(arm, chosen)
    assert made.claim.text
    assert made.claim.source
