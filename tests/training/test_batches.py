"""Streams of a step are functions of (seed, step): whatever the threads, the order of asking, the rank, or where the records lie."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.recipe import Contrast, Feed
from nearfar.data.lazy import lazy_pairs
from nearfar.data.records import Records
from nearfar.execution.ranks import Ranks
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.train import train_run
from small_recipes import RECIPES, Noise, changed, small, table
from small_world import world, write_jsonl


def batches(recipe, records, **changes):
    towers, heads = towers_of(recipe, records)
    stage = changed(recipe.fits[0], **changes)
    return prepare(stage, recipe, records, towers, heads).batches


def content(streams):
    """Inputs and columns of all streams, as tensors."""
    found = {}
    for name, stream in streams.items():
        found[f"{name} inputs"] = stream.encode(stream.inputs).vectors.detach()
        found |= {f"{name} {key}": value for key, value in stream.columns.items()}
    return found


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_threads_and_the_order_of_asking_change_nothing():
    recipe, records = small("two"), table()
    alone = batches(recipe, records, workers=0)
    steps = {step: content(alone.streams(step)) for step in (7, 2, 5, 0, 1, 3, 4, 6)}
    for workers in (1, 3):
        ahead = batches(recipe, records, workers=workers)
        for step, streams in ahead.steps(0, 8):
            assert same(content(streams), steps[step])
    assert not same(steps[0], steps[1])
    assert not torch.equal(steps[0]["x inputs"], steps[0]["y inputs"]), "two views draw apart"


def test_streams_with_one_look_see_the_same():
    x, y = Feed("x", "row", views=(Noise(),), look=0), Feed("y", "row", views=(Noise(),), look=0)
    made = content(batches(small("same", streams=(x, y)), table()).streams(3))
    assert torch.equal(made["x inputs"], made["y inputs"])
    assert torch.equal(made["x view"], made["y view"])


def test_ranks_share_the_batch_of_one_process():
    recipe, records = small("two"), table()
    whole = batches(recipe, records)
    parts = []
    for rank in range(3):
        part = batches(recipe, records)
        part.ranks = Ranks(rank, 3)
        parts.append(content(part.streams(4)))
    one = content(whole.streams(4))
    for key in ("x record", "y view"):
        assert torch.equal(torch.cat([p[key] for p in parts]), one[key])
    assert torch.allclose(torch.cat([p["x inputs"] for p in parts]), one["x inputs"], atol=1e-6)


def test_copies_stand_view_after_view_with_their_columns():
    feed = Feed("x", "row", views=(Noise(),), copies=3)
    made = batches(
        small("copies", streams=(feed,), objective=Contrast(relation="multi_view", y=None)), table(), batch_size=10
    ).streams(0)["x"]
    assert len(made.inputs) == 30
    assert made.columns["view"].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert torch.equal(made.columns["record"][:10], made.columns["record"][20:])
    assert made.columns["label"].shape == (30,)


def test_further_rows_come_from_a_field_of_lists_or_a_column_of_numbers():
    records = table(30)
    numbers = np.stack([(np.arange(30) + 1) % 30, np.where(np.arange(30) % 2, -1, (np.arange(30) + 2) % 30)], 1)
    rows = records.fields["row"]
    lists = [[rows[i] for i in some if i >= 0] for some in numbers]
    by_number = records.with_columns(mined=numbers)
    by_list = Records({**records.fields, "mined": lists}, records.columns)
    streams = (Feed("x", "row"), Feed("y", "row", more="mined"))
    made = [batches(small("more", streams=streams), r, batch_size=8).streams(1)["y"] for r in (by_number, by_list)]
    for stream in made:
        negative = stream.columns["negative"]
        assert int(negative.sum()) == len(stream.columns["record"]) - 8
        owners = stream.columns["record"][negative].tolist()
        assert owners == [r for r in stream.columns["record"][:8].tolist() for _ in lists[r]]
    vectors = [s.encode(s.inputs).vectors for s in made]
    assert torch.equal(*vectors)
    by_number, by_list = made
    first = by_number.columns["record"][:8].tolist()
    labels = [int(records.columns["label"][i]) for r in first for i in numbers[r] if i >= 0]
    assert by_number.columns["label"][8:].tolist() == labels, (
        "a record that serves as a negative keeps what is known of it"
    )
    assert by_list.columns["label"][8:].tolist() != labels


def test_a_file_read_record_by_record_trains_the_model_of_the_table_in_memory(tmp_path):
    path = write_jsonl(tmp_path / "my.jsonl", world())
    settings = ["fit.epochs=3", "fit.min_steps=0", "fit.batch_size=50", "encoder.dimension=16", "held_out=0.0"]
    in_memory = train_run("pairs", path, out=tmp_path / "memory", settings=settings)
    lazily = train_run("pairs", lazy_pairs(path), out=tmp_path / "lazily", settings=settings)
    assert in_memory.fitted.losses == lazily.fitted.losses
    a, b = in_memory.model.state_dict(), lazily.model.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_clusters_that_are_computed_anew_change_which_records_share_a_batch(tmp_path):
    recipe = RECIPES["batches from within clusters"]
    made = train_run(recipe, table(), out=tmp_path / "run")
    last = made.records.columns["cluster"]
    assert len(set(last.tolist())) == 3
    order = nf.Batching(groups="cluster", small_groups="join")
    towers, heads = towers_of(recipe, made.records)
    stage = changed(recipe.fits[0], refresh=(), batching=order)
    steps = prepare(stage, recipe, made.records, towers, heads).batches.order
    small_ones = {c for c in set(last.tolist()) if (last == c).sum() < stage.batch_size}
    for step in range(steps.steps_per_epoch):
        together = set(last[steps.records(step)].tolist())
        assert len(together) == 1 or together & small_ones, (
            "batches are of one cluster, or of the small ones and a next"
        )
    plain = batches_of_all(recipe, made.records)
    assert all(len(set(last[plain.records(step)].tolist())) > 1 for step in range(plain.steps_per_epoch))


def batches_of_all(recipe, records):
    towers, heads = towers_of(recipe, records)
    return prepare(
        changed(recipe.fits[0], refresh=(), batching=nf.Batching()), recipe, records, towers, heads
    ).batches.order


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ((Feed("x", "picture"),), "does not have|no stream brings"),
        ((Feed("x", "row"), Feed("y", "row", tower="other")), "'other'"),
        ((Feed("x", "row", head="other"),), "'other'"),
        ((Feed("x", "row", views=("no_such_view",)),), "no_such_view"),
        ((Feed("x", "row"), Feed("y", "row", layer=1, through="stopped")), "last layer only"),
        ((Feed("x", "row", through="stopped"), Feed("y", "row", through="frozen")), "gradient"),
    ],
)
def test_streams_that_cannot_be_are_refused_with_what_there_is(streams, message, tmp_path):
    with pytest.raises(nf.NearfarError, match=message):
        train_run(small("wrong", streams=streams), table(), out=tmp_path / "run")


def test_a_global_head_is_refused_as_the_head_of_a_stream(tmp_path):
    recipe = small(
        "wrong",
        streams=(Feed("x", "row", head="h"), Feed("y", "row", head="h")),
        heads=(nf.Named("h", "batch_norm_projector"),),
    )
    with pytest.raises(nf.UsageError, match="mixes records"):
        train_run(recipe, table(), out=tmp_path / "run")


def test_a_hard_negative_is_known_by_its_words_whatever_prompt_its_source_has():
    texts = [("one", "two", ["three"]), ("four", "three", ["two"]), ("five", "six", ["seven"])]
    records = nf.sources({"a": texts}, prompts={"a": {"document": "passage: "}})
    recipe = nf.Recipe("prompted", nf.Use("static", {"dimension": 8}), stages=(nf.Fit(batch_size=3),), held_out=0.0)
    made = batches(recipe, records, batch_size=3).streams(0)["y"].columns
    ids = {"two": 0, "three": 0, "six": 0, "seven": 0}
    for record, own, number in zip(
        made["record"].tolist(), made["negative"].tolist(), made["document"].tolist(), strict=True
    ):
        word = texts[record][2][0] if own else texts[record][1]
        ids[word] = ids[word] or number
        assert ids[word] == number
    assert len(set(ids.values())) == 4
