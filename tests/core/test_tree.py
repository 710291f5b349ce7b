"""Dataclass trees as JSON and back, and typed overrides."""

import json
from collections.abc import Sequence

import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.core.tree import from_json, leaves, override, read_value, to_json

RECIPE = Recipe("mine", Use("static", {"dimension": 64}), Contrast(temperature=0.1), (Fit(epochs=2),))


def test_round_trip_through_text():
    text = json.dumps(to_json(RECIPE))
    assert from_json(Recipe, json.loads(text)) == RECIPE
    assert from_json(Recipe, json.loads(text.replace("0.1,", "0.2,", 1))) != RECIPE


@pytest.mark.parametrize(
    ("setting", "look", "value"),
    [
        ("fit.batch_size=512", lambda r: r.stages[0].batch_size, 512),
        ("stages.fit.batch_size=512", lambda r: r.stages[0].batch_size, 512),
        ("objective.temperature=0.07", lambda r: r.objective.temperature, 0.07),
        ("objective.dimensions=(16, 32)", lambda r: r.objective.dimensions, (16, 32)),
        ("objective.dimensions=[16]", lambda r: r.objective.dimensions, (16,)),
        ("objective.temperature=1", lambda r: r.objective.temperature, 1.0),
        ("objective.both_ways=false", lambda r: r.objective.both_ways, False),
        ("objective.rule=decoupled", lambda r: r.objective.rule, "decoupled"),
        ("encoder.dimension=128", lambda r: r.encoder.options["dimension"], 128),
        ("encoder.part=other", lambda r: r.encoder.part, "other"),
        ("fit.schedule=linear", lambda r: r.stages[0].schedule, "linear"),
        ("name=12", lambda r: r.name, "12"),
        ("fit.micro_batch=64", lambda r: r.stages[0].micro_batch, 64),
        ("fit.micro_batch=none", lambda r: r.stages[0].micro_batch, None),
        ("objective.rule.margin=0.3", lambda r: r.objective.rule, Use("info_nce", {"margin": 0.3})),
        ("objective.relation.options.column=topic", lambda r: r.objective.relation, Use("paired", {"column": "topic"})),
        ('objective.rule={"part": "triplet"}', lambda r: r.objective.rule, Use("triplet")),
    ],
)
def test_overrides_are_typed(setting, look, value):
    changed = look(override(RECIPE, setting))
    assert changed == value
    assert type(changed) is type(value)
    assert look(RECIPE) != value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("fit.batchsize=5", "did you mean 'batch_size'"),
        ("objectiv.temperature=5", "did you mean 'objective'"),
        ("fit.batch_size=many", "expected int"),
        ("fit.batch_size=1.5", "expected int"),
        ("objective.both_ways=maybe", "expected bool"),
        ("fit.schedule=zigzag", "choose one"),
        ("fit.batch_size", "name=value"),
        ("seed.deep=1", "no parts"),
        ("objective.row.deep=1", "no parts"),
        ("fit.micro_batch=some", "expected int"),
    ],
)
def test_a_bad_override_says_what_would_be_right(setting, said):
    with pytest.raises(UsageError, match=said):
        override(RECIPE, setting)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "zero"}, "expected int"),
        ({"sead": 1}, "did you mean 'seed'"),
        ({"objective": [1]}, "expected an object"),
        ({"stages": 3}, "expected a list"),
        ({"objective": {"rule": {"own": "hinge"}}}, "own file"),
    ],
)
def test_damaged_json_names_the_place(change, said):
    with pytest.raises(DataError, match=said):
        from_json(Recipe, {**to_json(RECIPE), **change})


def test_a_part_with_options_goes_through_text():
    made = override(override(RECIPE, "objective.rule=triplet"), "objective.rule.margin=0.3")
    made = override(made, "fit.micro_batch=auto")
    assert made.objective.rule == Use("triplet", {"margin": 0.3})
    assert from_json(Recipe, json.loads(json.dumps(to_json(made)))) == made
    assert leaves(made)["objective.rule.margin"] == 0.3
    assert override(made, "objective.rule=triplet").objective.rule == "triplet"
    for name, value in leaves(made).items():
        assert override(made, f"{name}={str(value).lower() if isinstance(value, bool) else value}") == made


def test_a_sequence_is_a_list_of_its_kind():
    assert read_value(Sequence[int], [1, 2], "options.label") == (1, 2)
    with pytest.raises(DataError) as caught:
        read_value(Sequence[int], ["a"], "options.label")
    assert caught.value.where == "options.label[0]"


def test_leaves_are_what_can_be_set():
    for name, value in leaves(RECIPE).items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        assert override(RECIPE, f"{name}={text}") == RECIPE


LOOKED_AT = Recipe(
    "seen", Use("mlp"), streams=(Feed("x", "image", views=("greyscale", Use("rotation", {"degrees": 5.0}))),)
)


def views(recipe):
    return recipe.streams[0].views


@pytest.mark.parametrize(
    "setting", ["x.rotation.degrees=9", "x.views.rotation.degrees=9", "streams.x.rotation.degrees=9"]
)
def test_a_part_in_a_list_is_addressed_by_its_name(setting):
    assert views(override(LOOKED_AT, setting)) == ("greyscale", Use("rotation", {"degrees": 9}))
    changed = override(LOOKED_AT, "x.greyscale.probability=1")
    assert views(changed) == (Use("greyscale", {"probability": 1}), views(LOOKED_AT)[1])
    changed = override(LOOKED_AT, 'x.views=["horizontal_flip", {"part": "rotation", "options": {"degrees": 3}}]')
    assert views(changed) == ("horizontal_flip", Use("rotation", {"degrees": 3}))
    assert from_json(Recipe, json.loads(json.dumps(to_json(changed)))) == changed


@pytest.mark.parametrize("setting", ["x.rotation=9", "x.solarise.threshold=1", "fit.batching.avoid.document.deep=1"])
def test_what_is_not_in_a_list_is_not_found(setting):
    recipe = override(LOOKED_AT, 'fit.batching.avoid=["document"]')
    with pytest.raises(UsageError, match="there is no setting"):
        override(recipe, setting)
