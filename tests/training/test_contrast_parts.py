"""Parts of a recipe's contrast beyond rule and relation: several stages of keys, own keys of a row, a similarity that is a part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.recipe import Contrast, Feed, Named, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.core.tree import from_json, override, to_json
from nearfar.training.objective import ContrastTerm, objective_of
from nearfar.training.options import settings_of_parts
from nearfar.training.train import train_run
from small_recipes import Noise, table

QUEUE = Use("queue", {"size": 64})
MIXED = Use("mixed_negatives", {"hardest": 8, "pairs": 4, "with_query": 2})
PLAIN = Contrast(relation="queued", both_ways=False, temperature=0.2, keys=QUEUE)
UNIT = Named("p", "projector", {"out": 6, "unit": True})
TRANSFORMED = replace(PLAIN, similarity=Use("extrapolated"), keys=(QUEUE, Use("interpolated")))


def recipe(contrast, *heads):
    name = heads[0].name if heads else ""
    return Recipe(
        name="own",
        encoder=Use("mlp", {"dimension": 8, "hidden": 16}),
        objective=contrast,
        stages=(Fit(batch_size=30, epochs=2),),
        data="records",
        streams=(
            Feed("x", "row", views=(Noise(),), head=name),
            Feed("y", "row", views=(Noise(),), head=name, through="momentum"),
        ),
        heads=heads,
    )


def batch(seed, records):
    """Two looks at some records, vectors of length one."""
    drawn = torch.randn(2, len(records), 6, generator=torch.Generator().manual_seed(seed))
    drawn[1] = drawn[0] + 0.5 * drawn[1]
    return {name: nf.unit(nf.rows(v, record=records)) for name, v in zip("xy", drawn, strict=True)}


FIRST, SECOND = batch(0, range(30)), batch(1, range(20, 50))


def second_loss(contrast):
    """The loss of a second batch, when the queue has the keys of a first one."""
    objective = objective_of(contrast, (), 6, steps=2, explicit=False, columns=frozenset(), seed=0)
    nf.update_state(objective, FIRST)
    return float(nf.contrast(objective, SECOND["x"], SECOND["y"]))


def direct(*, further=None, **parts):
    """The same from its parts."""
    keys = nf.queue(64) if further is None else nf.chained(nf.queue(64), further)
    for part in (keys, *parts.values()):
        part.update(FIRST["y"])
    return float(nf.contrast(nf.info_nce, SECOND["x"], SECOND["y"], nf.queued(), keys=keys, temperature=0.2, **parts))


def test_own_keys_of_a_row():
    loss = second_loss(replace(PLAIN, own=MIXED))
    assert loss == pytest.approx(direct(own=nf.mixed_negatives(hardest=8, pairs=4, with_query=2)), abs=1e-5)
    assert abs(loss - direct()) > 1e-3


def test_stages_of_keys_in_turn_and_a_similarity_that_is_a_part():
    loss = second_loss(TRANSFORMED)
    assert loss == pytest.approx(direct(similarity=nf.extrapolated(), further=nf.interpolated()), abs=1e-5)
    assert abs(loss - direct(similarity=nf.extrapolated())) > 1e-3
    assert abs(loss - direct(further=nf.interpolated())) > 1e-3


@pytest.mark.parametrize("contrast", [replace(PLAIN, own=MIXED), TRANSFORMED], ids=["own", "transformed"])
def test_they_train_and_come_back_as_data(contrast, tmp_path):
    made = train_run(recipe(contrast, UNIT), table(), out=tmp_path / "run")
    assert np.isfinite(made.fitted.losses).all()
    assert from_json(Contrast, to_json(contrast)) == contrast


def test_their_settings_have_names():
    settings = settings_of_parts(recipe(replace(TRANSFORMED, own="mixed_negatives"), UNIT))
    assert settings["objective.queue.size"] == 64
    assert settings["objective.interpolated.alpha"] == 1.6
    assert settings["objective.similarity.alpha"] == 2.0
    assert settings["objective.own.hardest"] == 1024
    made = override(recipe(TRANSFORMED, UNIT), "objective.queue.size=9")
    made = override(override(made, "objective.similarity.alpha=3"), "objective.own=mixed_negatives")
    assert isinstance(made.objective, Contrast)
    assert made.objective.keys == (Use("queue", {"size": 9}), Use("interpolated"))
    assert made.objective.similarity == Use("extrapolated", {"alpha": 3})
    assert made.objective.own == "mixed_negatives"
    assert "objective.similarity.alpha" not in settings_of_parts(recipe(PLAIN))


def test_nothing_to_contrast_and_a_similarity_that_is_not_there():
    with pytest.raises(UsageError, match="nothing is contrasted"):
        ContrastTerm(Contrast(relation=None), 4)
    with pytest.raises(UsageError, match="extrapolated"):
        ContrastTerm(Contrast(similarity=Use("extrapolate")), 4)
