"""Splitting: no text on both sides, the same side for the same texts whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.errors import DataError, UsageError
from nearfar.data.pair_table import PairTable
from nearfar.data.split import connected, split


def table(edges) -> PairTable:
    return PairTable([str(q) for q, _ in edges], [str(d) for _, d in edges], [[] for _ in edges])


def texts(part: PairTable) -> set[str]:
    return {*part.queries, *part.documents}


def sets(part: PairTable) -> list[tuple[str, str]]:
    return sorted(zip(part.queries, part.documents, strict=True))


def naive_groups(edges) -> list[frozenset[int]]:
    """Grow each group until nothing more touches it."""
    groups = []
    left = set(range(len(edges)))
    while left:
        group = {left.pop()}
        while more := {i for i in left if any(set(edges[i]) & set(edges[j]) for j in group)}:
            group |= more
            left -= more
        groups.append(frozenset(group))
    return sorted(groups, key=min)


edges = st.lists(st.tuples(st.integers(0, 12), st.integers(8, 40)), min_size=2, max_size=40)


@given(edges)
def test_groups_are_those_of_a_naive_search(pairs):
    group = connected(table(pairs))
    found = sorted((frozenset(np.flatnonzero(group == g).tolist()) for g in np.unique(group)), key=min)
    assert found == naive_groups(pairs)


def test_a_grouping_by_document_only_would_be_seen():
    pairs = [(0, 20), (0, 21), (1, 21), (2, 22)]
    by_document = np.unique([d for _, d in pairs], return_inverse=True)[1]
    assert connected(table(pairs)).max() + 1 == len(naive_groups(pairs)) == 2
    assert by_document.max() + 1 == 3


@given(edges, st.integers(0, 5), st.randoms())
def test_sides_share_no_text_and_do_not_depend_on_order(pairs, seed, random):
    wanted = len(pairs) // 2
    if not any(len(g) <= wanted for g in naive_groups(pairs)):
        with pytest.raises(DataError, match="no group of connected pairs fits"):
            split(table(pairs), wanted, seed)
        return
    rest, held = split(table(pairs), wanted, seed)
    assert not texts(rest) & texts(held)
    assert sets(rest) + sets(held) != []
    assert sorted(sets(rest) + sets(held)) == sets(table(pairs))
    assert 1 <= len(held) <= wanted
    shuffled = list(pairs)
    random.shuffle(shuffled)
    again = split(table(shuffled), wanted, seed)
    assert (sets(again[0]), sets(again[1])) == (sets(rest), sets(held))


def test_a_split_by_rows_would_share_texts():
    pairs = [(i // 2, 100 + i) for i in range(100)]
    rest, held = split(table(pairs), 0.3, seed=1)
    assert not texts(rest) & texts(held)
    rows = np.random.default_rng(1).permutation(100)
    assert texts(table(pairs).take(rows[:70])) & texts(table(pairs).take(rows[70:]))


def test_sizes_seeds_and_order():
    singles = table([(i, 1000 + i) for i in range(500)])
    rest, held = split(singles, 0.1, seed=3)
    assert (len(rest), len(held)) == (450, 50)
    assert [int(q) for q in held.queries] == sorted(int(q) for q in held.queries)
    assert held.notes == ()
    assert sets(split(singles, 50, seed=3)[1]) == sets(held)
    other = split(singles, 50, seed=4)[1]
    assert len(set(other.queries) & set(held.queries)) < 25


def test_more_data_moves_few_pairs():
    few, many = [(i, 1000 + i) for i in range(500)], [(i, 1000 + i) for i in range(550)]
    before, after = set(split(table(few), 0.2)[1].queries), set(split(table(many), 0.2)[1].queries)
    assert len(before & after) > 85


def test_a_giant_group_goes_to_training_with_a_note():
    pairs = [(0, 100 + i) for i in range(95)] + [(1, 1), (2, 2), (3, 3)]
    rest, held = split(table(pairs), 0.2)
    assert len(held) == 3
    assert len(rest) == 95
    assert "only 3 of 20 pairs could be held out" in held.notes[0].what


@pytest.mark.parametrize("held_out", [0, -1, 0.0, 1.0, 1.5, 10, 11, -0.1])
def test_a_share_or_number_out_of_range_is_refused(held_out):
    with pytest.raises(UsageError, match="makes no sense"):
        split(table([(i, 100 + i) for i in range(10)]), held_out)


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match="the smallest has 4"):
        split(table([(0, i) for i in range(100, 104)]), 0.5)
