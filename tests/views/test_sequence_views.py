"""Views of sequences of items: what they do, how often; the chance of records is in test_contract.py."""

import math

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.item_sequences import part_of
from views.cases import SEQUENCES
from views.shared import draws

VIEWS = {"item_crop": nf.item_crop(), "item_mask": nf.item_mask(), "item_reorder": nf.item_reorder()}
MILDEST = {
    "item_crop": nf.item_crop(share=1),
    "item_mask": nf.item_mask(share=0),
    "item_reorder": nf.item_reorder(share=0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_lists_stay_lists_and_arrays_arrays_without_padding(name):
    given = draws(4)
    lists = [[0, 0, 5, 6, 7, 8], [5, 6, 7, 8, 0], (5, 6, 7, 8), [5, 6, 7, 8]]
    made = VIEWS[name](lists, given.take([0, 0, 0, 0]))
    assert made[0] == made[1] == made[2] == made[3]
    assert 0 not in made[0]
    for kind, expected in (("int16", "int16"), ("int64", "int64"), ("uint32", "int64")):
        arrays = VIEWS[name]([np.array(s, kind) for s in lists], given.take([0, 0, 0, 0]))
        assert all(isinstance(a, np.ndarray) and a.dtype == expected and a.tolist() == made[0] for a in arrays)


@pytest.mark.parametrize("name", MILDEST)
def test_the_mildest_leaves_sequences_as_they_are(name):
    assert MILDEST[name](SEQUENCES, draws(6)) == SEQUENCES
    assert VIEWS[name](SEQUENCES, draws(6)) != SEQUENCES


@pytest.mark.parametrize("name", VIEWS)
def test_one_item_stays(name):
    assert VIEWS[name]([[7], [0, 7], [-1]], draws(3)) == [[7], [7], [-1]]


def test_crop_is_a_span_at_any_place():
    items = list(range(1, 11))
    made = nf.item_crop(share=0.6)([items] * 1000, draws(1000))
    starts = [m[0] for m in made]
    assert all(m == items[s - 1 : s + 5] for m, s in zip(made, starts, strict=True))
    for start in range(1, 6):
        assert abs(starts.count(start) / 1000 - 0.2) < 4 * math.sqrt(0.16 / 1000)
    assert nf.item_crop(share=0.01)([items], draws(1))[0][0] in items


def test_mask_hides_exactly_the_share_at_any_place():
    items = list(range(1, 11))
    made = nf.item_mask(share=0.3)([items] * 1000, draws(1000))
    assert {m.count(-1) for m in made} == {3}
    assert all(x in (i, -1) for m in made for x, i in zip(m, items, strict=True))
    for place in range(10):
        assert abs(sum(m[place] == -1 for m in made) / 1000 - 0.3) < 4 * math.sqrt(0.21 / 1000)
    assert {m.count(99) for m in nf.item_mask(share=0.3, mask=99)([items] * 9, draws(9))} == {3}
    assert {m.count(-1) for m in nf.item_mask(share=0.999)([items] * 9, draws(9))} == {9}


def test_reorder_shuffles_one_span_and_loses_nothing():
    items = list(range(1, 11))
    made = nf.item_reorder(share=0.4)([items] * 2000, draws(2000))
    assert all(sorted(m) == items for m in made)
    moved = [[i for i in range(10) if m[i] != items[i]] for m in made]
    assert max(m[-1] - m[0] for m in moved if m) == 3
    assert {m[0] for m in moved if m} >= {0, 3, 6}
    # Of a span of four, a quarter stays by chance.
    assert abs(sum(map(len, moved)) / 2000 - 3) < 0.1
    orders = nf.item_reorder(share=1)([[1, 2, 3]] * 1200, draws(1200))
    for order in ([1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]):
        assert abs(orders.count(order) / 1200 - 1 / 6) < 4 * math.sqrt(5 / 36 / 1200)


def test_shares_of_binary_fractions_are_what_they_look_like():
    assert [part_of(100, 0.29), part_of(10, 0.7), part_of(5, 0.6), part_of(7, 0.5)] == [29, 7, 3, 3]
    assert int(0.29 * 100) == 28  # known bad


@pytest.mark.parametrize("name", VIEWS)
def test_a_record_that_is_no_sequence_is_named(name):
    for bad in (
        None,
        3,
        "1 2 3",
        [1.0, 2.0],
        [True],
        [[1], [2, 3]],
        [[1, 2]],
        ["1"],
        [-2],
        [],
        [0, 0],
        np.zeros(2),
        {1},
    ):
        with pytest.raises(DataError) as caught:
            VIEWS[name]([[1, 2], bad], draws(2))
        assert caught.value.where == "record 1"


def test_bad_options_are_refused():
    for make, bad in ((nf.item_crop, 0.0), (nf.item_crop, 1.1), (nf.item_mask, 1.0), (nf.item_mask, -0.1)):
        with pytest.raises(UsageError):
            make(share=bad)
    with pytest.raises(UsageError):
        nf.item_reorder(share=math.nan)
    for mask in (0, -2):
        with pytest.raises(UsageError):
            nf.item_mask(mask=mask)
