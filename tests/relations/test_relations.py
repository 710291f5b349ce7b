"""Relations and their edits, written out pair by pair; and that they tile and can be stored."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.predicate import key_has, query_has, same, within

columns = st.integers(1, 9).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "record": st.lists(st.integers(0, 4), min_size=n, max_size=n),
            "view": st.lists(st.integers(0, 1), min_size=n, max_size=n),
            "label": st.lists(st.integers(-1, 3), min_size=n, max_size=n),
            "negative": st.lists(st.booleans(), min_size=n, max_size=n),
            "stale": st.lists(st.booleans(), min_size=n, max_size=n),
            "time": st.lists(st.integers(0, 9), min_size=n, max_size=n),
        }
    )
)


def table(c):
    return {k: torch.tensor(v) for k, v in c.items()}


def paired(q, k):
    return (q["record"] == k["record"], q["record"] != k["record"])


def multi_view(q, k):
    other = q["record"] != k["record"]
    return (not other and q["view"] != k["view"], other)


def masked_views(q, k):
    other = q["record"] != k["record"]
    alike = q["label"] >= 0 and q["label"] == k["label"]
    return (not other and q["view"] != k["view"], other and not alike)


def labelled(q, k):
    itself = q["record"] == k["record"] and q["view"] == k["view"]
    alike = q["record"] == k["record"] or (q["label"] >= 0 and q["label"] == k["label"])
    return (alike and not itself, not alike)


def explicit(q, k):
    mine = q["record"] == k["record"]
    return (mine and not k["negative"], k["negative"] or not mine)


def own_explicit(q, k):
    mine = q["record"] == k["record"]
    return (mine and not k["negative"], mine if k["negative"] else not mine)


def queued(q, k):
    mine = q["record"] == k["record"]
    return (mine and not k["stale"], k["stale"] and not mine)


def edited(q, k):
    pos, neg = paired(q, k)
    if abs(q["time"] - k["time"]) <= 2:
        neg = False
    if q["label"] == k["label"]:
        pos, neg = True, False
    if not (q["view"] or not k["view"]):
        pos = neg = False
    return pos, neg


CASES = {
    "paired": (nf.paired(), paired),
    "multi_view": (nf.multi_view(), multi_view),
    "labelled": (nf.labelled(), labelled),
    "masked_views": (nf.masked_views(), masked_views),
    "explicit_negatives": (nf.explicit_negatives(), explicit),
    "explicit_negatives, own": (nf.explicit_negatives(shared=False), own_explicit),
    "queued": (nf.queued(), queued),
    "edits": (
        nf.paired()
        .drop_negatives(within("time", 2))
        .positives(same("label"))
        .only(query_has("view") | ~key_has("view")),
        edited,
    ),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None)
@given(q=columns, k=columns)
def test_equals_its_definition_pair_by_pair(name, q, k):
    relation, definition = CASES[name]
    block = relation(table(q), table(k))
    assert block.pos.shape == block.neg.shape == (len(q["record"]), len(k["record"]))
    for i in range(len(q["record"])):
        for j in range(len(k["record"])):
            query, key = ({n: c[n][w] for n in c} for c, w in ((q, i), (k, j)))
            assert (bool(block.pos[i, j]), bool(block.neg[i, j])) == tuple(map(bool, definition(query, key)))


def test_the_definitions_differ_from_one_another():
    q = {
        "record": [0, 1, 0, 2],
        "view": [0, 0, 1, 1],
        "label": [1, 1, 2, -1],
        "negative": [0, 1, 1, 0],
        "stale": [0, 0, 1, 1],
        "time": [0, 5, 9, 1],
    }
    found = {
        name: (r(table(q), table(q)).pos.tolist(), r(table(q), table(q)).neg.tolist()) for name, (r, _) in CASES.items()
    }
    assert len({str(v) for v in found.values()}) == len(CASES)


def test_a_tile_is_a_part_of_the_whole():
    c = table(
        {
            "record": [0, 1, 2, 0],
            "view": [0, 0, 0, 1],
            "label": [0, 1, 1, 0],
            "negative": [0, 0, 1, 0],
            "stale": [0, 1, 0, 1],
            "time": [1, 2, 3, 4],
        }
    )
    part = {k: v[1:3] for k, v in c.items()}
    for relation, _ in CASES.values():
        assert torch.equal(relation(part, c).pos, relation(c, c).pos[1:3])
        assert torch.equal(relation(part, c).neg, relation(c, c).neg[1:3])


def test_weighted_positives():
    c = table({"record": [0, 1, 2], "label": [0, 0, 1]})
    block = nf.paired().positives(
        lambda q, k: (q["label"][:, None] == k["label"]) & (q["record"][:, None] != k["record"]), 0.5
    )(c, c)
    assert block.pos.tolist() == [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert block.neg.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


def test_a_missing_column_is_named():
    c = {"record": torch.tensor([0, 1])}
    with pytest.raises(UsageError, match=r"'label'.*they have"):
        nf.labelled()(c, c)
    x = torch.randn(2, 3)
    with pytest.raises(UsageError, match=r"nf.rows"):
        nf.contrast(nf.info_nce, x, relation=nf.multi_view())


def test_relations_are_frozen_and_equal_by_value():
    one, two = nf.paired().drop_negatives(same("text")), nf.paired().drop_negatives(same("text"))
    assert one == two
    assert one != nf.paired().drop_negatives(same("label"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        nf.paired().column = "other"
