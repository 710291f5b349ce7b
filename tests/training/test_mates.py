"""Further views of another record with the same entry in a column: who is shown, with which columns, and what is refused."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit, Refresh
from nearfar.data.array_records import array_records
from nearfar.data.mates import Mates
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.refresh import refreshed
from nearfar.training.train import train_run

LABEL = np.array([3, 5, 3, -1, 3, 5, 8, -1])
ROWS = np.eye(8, dtype=np.float32)


def recipe(**changes):
    feeds = changes.pop("streams", (Feed("x", "row", copies=3, same="kind"),))
    fit = Fit(**({"batch_size": 8, "epochs": 2, "workers": 0} | changes))
    contrast = Contrast(relation="multi_view", both_ways=False, y=None)
    return Recipe(
        "mates", Use("mlp", {"hidden": 8, "dimension": 4}), contrast, (fit,), 0.0, data="records", streams=feeds
    )


def batches(label=LABEL, **changes):
    made = recipe(**changes)
    records = array_records(row=ROWS, kind=label, number=np.arange(8))
    return prepare(made.fits[0], made, records, *towers_of(made, records)).batches


def shown(streams, name="x"):
    """Which record each row shows, by what went in."""
    inputs = streams[name].inputs.inputs
    return inputs.argmax(1), streams[name].columns


def test_drawn_mates_are_all_others_of_the_kind_and_equally_likely():
    mates = Mates.of(LABEL)
    draws = (np.arange(600) + 0.5) / 600
    for record, label in enumerate(LABEL):
        found, often = np.unique(mates.drawn(np.full(600, record), draws), return_counts=True)
        others = [i for i in range(8) if i != record and LABEL[i] == label >= 0]
        assert found.tolist() == (others or [record])
        assert set(often) == {600 // max(1, len(others))}
    assert mates.drawn(np.arange(8), np.full(8, 1 - 1e-16)).shape == (8,)


def test_the_first_view_is_the_record_and_others_are_mates_with_their_own_columns():
    made = batches()
    seen = set()
    for step in range(40):
        at, columns = shown(made.streams(step))
        record, view = columns["record"], columns["view"]
        assert torch.equal(at, columns["number"]), "columns are those of what is shown"
        assert torch.equal(at[view == 0], record[view == 0])
        assert torch.equal(columns["kind"], torch.from_numpy(LABEL)[record])
        alone = torch.isin(record, torch.tensor([3, 6, 7]))
        assert torch.equal(at[alone], record[alone])
        assert (at[(view > 0) & ~alone] != record[(view > 0) & ~alone]).all()
        seen |= {(int(r), int(a)) for r, a in zip(record, at, strict=True) if r != a}
    assert len(seen) == 3 * 2 + 2
    plain, _ = shown(batches(streams=(Feed("x", "row", copies=3),)).streams(0))
    assert not torch.equal(plain, shown(made.streams(0))[0])


def test_a_second_stream_shows_the_mate():
    made = batches(streams=(Feed("x", "row", same="kind"), Feed("y", "row", same="kind")))
    (x, columns), (y, _) = (shown(made.streams(4), name) for name in "xy")
    assert torch.equal(x, columns["record"])
    known = torch.from_numpy(LABEL)[x] > 0
    assert (y != x)[known & (columns["kind"] != 8)].all()


def test_a_column_that_is_written_anew_has_new_mates():
    made = batches()
    made.streams(0)
    made.with_columns(kind=np.arange(8) // 4)
    at, columns = shown(made.streams(1))
    assert torch.equal(at // 4, columns["record"] // 4)
    assert (at != columns["record"])[columns["view"] > 0].all()


@pytest.mark.parametrize(
    ("label", "same", "message"),
    [(LABEL, "colour", "no column|do not have"), (LABEL + 0.5, "kind", "whole numbers")],
)
def test_what_cannot_be_shared_is_refused(label, same, message):
    with pytest.raises(nf.UsageError, match=message):
        batches(label, streams=(Feed("x", "row", copies=2, same=same),)).streams(0)


def test_a_refresh_sees_what_one_before_it_wrote(tmp_path):
    def centres(vectors, columns, seed):
        return nf.class_centres(label="group")(vectors, columns, seed)

    chain = (Refresh("clusters", Use("clusters", {"k": 3}), "group"), Refresh("centres", centres, "centre"))
    made = batches(streams=(Feed("x", "row"),), refresh=chain)
    written = refreshed(chain, made, 0)
    for group in np.unique(written["group"]):
        assert len(np.unique(written["centre"][written["group"] == group].round(5), axis=0)) == 1
    with pytest.raises(nf.UsageError, match="no column 'group'"):
        refreshed(chain[1:], made, 0)
    run = train_run(recipe(refresh=chain), array_records(row=ROWS, kind=LABEL), out=tmp_path / "run")
    assert run.fitted.steps == 2
