"""Streams whose inputs are mixed with a batch mate's: what is mixed with what, however the batch is cut, and what is refused."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.data.array_records import array_records
from nearfar.data.bad_records import BadRecords
from nearfar.training.prepare import prepare, towers_of
from small_recipes import Noise

ROWS = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
VIEWS = (Noise(),)
CPU = torch.device("cpu")


def prepared(*, bad=None, batch=6, **mixed):
    feeds = (
        Feed("x", "row", views=VIEWS),
        Feed("y", "row", views=VIEWS),
        Feed("mixed", "row", **({"views": VIEWS, "look": 0, "mix": 1.0} | mixed)),
    )
    recipe = Recipe(
        "mixed",
        Use("mlp", {"hidden": 8, "dimension": 4}),
        Contrast(),
        (Fit(batch_size=batch, workers=0),),
        0.0,
        data="records",
        streams=feeds,
    )
    records = array_records(row=ROWS)
    return prepare(recipe.fits[0], recipe, records, *towers_of(recipe, records), bad=bad)


def looked_at(made, stream, name):
    return made.learner.paths[name]._looked_at(stream.inputs, CPU)


def step(made, number):
    """Inputs after their views by stream, with the columns of the mixed one."""
    streams = made.batches.streams(number)
    return {name: looked_at(made, s, name) for name, s in streams.items()}, streams["mixed"].columns


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_first_look_is_mixed_with_the_second_one_of_the_partner(number):
    seen, columns = step(prepared(), number)
    record, partner = columns["record"].tolist(), columns["partner"].tolist()
    share = columns["share"][:, None]
    place = [record.index(p) for p in partner]
    assert sorted(partner) == sorted(record)
    assert all(p != r for p, r in zip(partner, record, strict=True))
    assert len(set(columns["share"].tolist())) == 1
    assert torch.allclose(seen["mixed"], share * seen["x"] + (1 - share) * seen["y"][place], atol=1e-6)
    assert not torch.allclose(seen["mixed"], share * seen["x"] + (1 - share) * seen["x"][place], atol=1e-2)


def test_shares_and_partners_change_from_step_to_step_and_come_again():
    made = prepared(batch=12)
    found = [step(made, number)[1] for number in (0, 1, 2)]
    assert len({float(c["share"][0]) for c in found}) == 3
    pairs = [dict(zip(c["record"].tolist(), c["partner"].tolist(), strict=True)) for c in found]
    assert pairs[0] != pairs[1]
    assert torch.equal(step(made, 1)[1]["share"], found[1]["share"])


def test_a_piece_of_the_batch_is_mixed_as_in_the_whole():
    made = prepared()
    stream = made.batches.streams(0)["mixed"]
    whole = looked_at(made, stream, "mixed")
    piece = made.learner.paths["mixed"]._looked_at(stream.inputs.take(torch.tensor([4, 1])), CPU)
    assert torch.equal(piece, whole[[4, 1]])


def test_a_rank_finds_partners_among_the_records_of_all_ranks():
    made = prepared()
    everyone = made.batches.order.records(0)
    alone = made.batches.usable(everyone[2:4], 0, everyone)[0]["mixed"]
    together, columns = step(made, 0)
    assert alone[1]["partner"].tolist() == columns["partner"][2:4].tolist()
    assert torch.equal(made.learner.paths["mixed"]._looked_at(alone[0], CPU), together["mixed"][2:4])


def test_small_alphas_leave_records_nearly_whole():
    shares = np.array([float(step(prepared(batch=12, mix=0.05), number)[1]["share"][0]) for number in range(40)])
    assert (np.minimum(shares, 1 - shares) < 0.05).mean() > 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": -1.0}, "Beta"),
        ({"more": "row"}, "further rows"),
        ({"bad": BadRecords("skip")}, "skipped"),
    ],
)
def test_what_cannot_be_mixed_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        prepared(**options)


def test_texts_are_not_mixed():
    recipe = Recipe(
        "texts",
        Use("static", {"dimension": 4, "buckets": 16}),
        Contrast(),
        (Fit(batch_size=4, workers=0),),
        0.0,
        data="texts",
        streams=(Feed("x", "text"), Feed("y", "text", mix=1.0)),
    )
    records = array_records(text=[f"word {i}" for i in range(8)])
    made = prepare(recipe.fits[0], recipe, records, *towers_of(recipe, records))
    with pytest.raises(UsageError, match="cannot be mixed"):
        made.batches.streams(0)
