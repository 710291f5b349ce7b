"""Law three: which records form a step is a function of (seed, step) and of nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.errors import UsageError
from nearfar.data.order import Order, draws, order
from nearfar.data.passes import Passes

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**40)
RECORDED_DRAWS = [15410052383177881342, 1458081031554097932]
RECORDED_ORDER = [7, 1, 4, 3, 2, 6, 0, 5]
ids = st.lists(st.integers(0, 9), min_size=1, max_size=60)


def epoch(steps: Order, number: int) -> list[list[int]]:
    first = number * steps.steps_per_epoch
    return [steps.records(first + i).tolist() for i in range(steps.steps_per_epoch)]


def flat(batches):
    return [r for batch in batches for r in batch]


@given(sizes, seeds, st.integers(0, 5))
def test_an_order_is_a_permutation_and_depends_on_seed_and_epoch(n, seed, number):
    assert sorted(order(n, seed, number).tolist()) == list(range(n))
    if n > 20:
        assert order(n, seed, number).tolist() != order(n, seed, number + 1).tolist()
        assert order(n, seed, number).tolist() != order(n, seed + 1, number).tolist()
        assert order(n, seed, number).tolist() != list(range(n))


def test_orders_never_change_between_versions():
    """Recorded values: a stored step number must mean the same records next year."""
    assert draws(2, seed=0, purpose="order", epoch=0).tolist() == RECORDED_DRAWS
    assert order(8, seed=0, epoch=0).tolist() == RECORDED_ORDER
    assert order(8, seed=0, epoch=1).tolist() != RECORDED_ORDER


def test_draws_belong_to_records():
    few, many = draws(10, 7, "order", 3), draws(1000, 7, "order", 3)
    assert (few == many[:10]).all()
    assert not (few == draws(10, 7, "ids", 3)).any()
    assert not (few == draws(10, 73, "order", 3)).any()
    old = order(1000, 7, 3)
    grown = order(1500, 7, 3)
    assert grown[grown < 1000].tolist() == old.tolist()


@pytest.mark.parametrize("first", range(4))
def test_every_place_is_equally_likely(first):
    places = [int(np.flatnonzero(order(4, seed, 0) == first)[0]) for seed in range(4000)]
    counts = np.bincount(places, minlength=4)
    chi2 = ((counts - 1000) ** 2 / 1000).sum()
    assert chi2 < 16.3  # p = 0.001 with three degrees of freedom
    biased = np.bincount([p if seed % 10 else 0 for seed, p in enumerate(places)], minlength=4)
    assert ((biased - 1000) ** 2 / 1000).sum() > 16.3


@given(sizes, st.integers(1, 20), seeds, st.booleans())
def test_every_record_once_an_epoch(n, size, seed, drop_last):
    if drop_last and n < size:
        with pytest.raises(UsageError, match="fill no batch"):
            Order(n, size, seed, drop_last=drop_last)
        return
    steps = Order(n, size, seed, drop_last=drop_last)
    for number in (0, 3):
        batches = epoch(steps, number)
        seen = flat(batches)
        assert len(set(seen)) == len(seen)
        assert set(seen) <= set(range(n))
        assert len(seen) == (n // size * size if drop_last else n)
        assert all(len(b) == size for b in batches[: n // size])


@given(ids, st.integers(1, 8), seeds, st.booleans(), st.booleans(), st.integers(0, 40))
def test_a_step_depends_on_nothing_that_was_asked_before(column, size, seed, drop_last, avoid, step):
    choice = {"avoid": column} if avoid else {"groups": column}

    def fresh():
        return Order(len(column), size, seed, drop_last=drop_last, **choice)

    try:
        steps = fresh()
    except UsageError:
        assert drop_last
        return
    expected = steps.records(step).tolist()
    resumed = fresh()
    assert next(resumed.records(t).tolist() for t in range(step, step + 3)) == expected
    wandering = fresh()
    for t in (step + 17, 0, step):
        got = wandering.records(t)
    assert got.tolist() == expected
    got[:] = -1  # the caller's copy
    assert wandering.records(step).tolist() == expected


def test_another_step_or_seed_is_another_batch():
    steps = Order(1000, 10, seed=0)
    batches = {tuple(steps.records(t)) for t in range(300)}
    assert len(batches) == 300
    assert tuple(Order(1000, 10, seed=1).records(0)) not in batches
    assert [steps.epoch_of(t) for t in (0, 99, 100, 250)] == [0, 0, 1, 2]


def test_other_records_are_dropped_in_each_epoch():
    steps = Order(15, 10, seed=0)
    dropped = [frozenset(range(15)) - set(flat(epoch(steps, e))) for e in range(10)]
    assert all(len(d) == 5 for d in dropped)
    assert len(set(dropped)) > 5
    assert set().union(*dropped) == set(range(15))


# Groups.


@given(ids, st.integers(1, 6), seeds, st.booleans())
def test_batches_of_one_group(column, size, seed, drop_last):
    counts = Counter(column)
    if drop_last and min(counts.values()) < size:
        with pytest.raises(UsageError, match="fill no batch"):
            Order(len(column), size, seed, groups=column)
        return
    steps = Order(len(column), size, seed, groups=column, drop_last=drop_last)
    batches = epoch(steps, 2)
    assert all(len({column[r] for r in batch}) == 1 for batch in batches)
    seen = Counter(column[r] for r in flat(batches))
    assert len(set(flat(batches))) == len(flat(batches))
    assert seen == {g: (c // size * size if drop_last else c) for g, c in counts.items()}


def test_groups_are_interleaved_and_a_mixed_order_would_be_seen():
    groups = np.repeat(["web", "code", "law"], [400, 300, 300])
    steps = Order(1000, 10, seed=0, groups=groups)
    turns = [groups[steps.records(t)[0]] for t in range(steps.steps_per_epoch)]
    changes = sum(a != b for a, b in zip(turns, turns[1:], strict=False))
    assert changes > 40  # 66 expected of 99; one group after the other would give 2
    assert turns != [groups[steps.records(t)[0]] for t in range(100, 200)]
    mixed = Order(1000, 10, seed=0)
    assert any(len(set(groups[mixed.records(t)])) > 1 for t in range(100))


# Avoiding equal ids in a batch.


def most_batches(column, size):
    """By definition: the largest t such that t batches can be filled."""
    counts = Counter(column).values()
    return max((t for t in range(len(column) + 1) if sum(min(c, t) for c in counts) >= t * size), default=0)


@given(ids, st.integers(1, 8), seeds, st.booleans())
def test_no_id_twice_in_a_batch(column, size, seed, drop_last):
    if drop_last and most_batches(column, size) == 0:
        with pytest.raises(UsageError, match="different ids"):
            Order(len(column), size, seed, avoid=column)
        return
    steps = Order(len(column), size, seed, avoid=column, drop_last=drop_last)
    for number in (0, 1):
        batches = epoch(steps, number)
        assert all(len({column[r] for r in batch}) == len(batch) for batch in batches)
        assert len(set(flat(batches))) == len(flat(batches))
        if drop_last:
            assert steps.steps_per_epoch == most_batches(column, size)
            assert all(len(batch) == size for batch in batches)
        else:
            assert sorted(flat(batches)) == list(range(len(column)))
            lengths = [len(batch) for batch in batches]
            assert max(lengths) <= size
            assert max(lengths) - min(lengths) <= 1


def test_a_plain_order_would_repeat_an_id():
    column = np.arange(200) // 2
    assert any(len(set(column[Order(200, 20, 0).records(t)])) < 20 for t in range(10))
    steps = Order(200, 20, 0, avoid=column)
    assert steps.steps_per_epoch == 10
    assert all(len(set(column[steps.records(t)])) == 20 for t in range(30))


def test_all_records_of_a_frequent_id_come_in_time():
    column = np.r_[np.zeros(500, dtype=int), np.arange(1, 501)]
    steps = Order(1000, 50, 0, avoid=column)
    assert steps.steps_per_epoch == 10  # 10 of the frequent id and 490 of the others fill 10 batches of 50
    seen = set()
    for number in range(800):
        frequent = [r for r in flat(epoch(steps, number)) if column[r] == 0]
        assert len(frequent) <= 10
        seen |= set(frequent)
    assert len(seen) == 500


def test_avoid_within_groups():
    groups, column = np.arange(120) % 2, np.arange(120) // 4
    steps = Order(120, 10, 0, groups=groups, avoid=column)
    for batch in epoch(steps, 0):
        assert len(set(groups[batch])) == 1
        assert len(set(column[batch])) == 10


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Order(0, 1, 0), "make no step"),
        (lambda: Order(5, 0, 0), "make no step"),
        (lambda: Order(5, 6, 0), "5 records fill no batch of 6"),
        (lambda: Order(5, 2, 0, avoid=[1] * 5), "5 records with 1 different ids fill no batch of 2"),
        (lambda: Order(5, 2, 0, groups=[1, 1, 1, 1, 2]), "a group of 1 records fill no batch"),
        (lambda: Order(5, 2, 0, groups=[1, 2]), "shape"),
        (lambda: Order(5, 2, 0).records(-1), "before the first"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(UsageError, match=match) as caught:
        make()
    assert caught.value.remedy


@pytest.mark.parametrize(("owner", "name"), [(Order, "_plan"), (Passes, "_made")])
@pytest.mark.parametrize("choice", [{}, {"sources": np.arange(40) % 2}])
def test_what_another_thread_plans_meanwhile_is_not_given_out(owner, name, choice, monkeypatch):
    """At the turn of an epoch threads ask for both: here, as soon as one is planned, another thread has planned another."""
    expected = Order(40, 10, 0, **choice).records(1).tolist()

    def replaced(self, planned):
        self.__dict__["planned"] = planned and (-1, planned[1][::-1], planned[2])

    monkeypatch.setattr(owner, name, property(lambda self: self.__dict__["planned"], replaced), raising=False)
    assert Order(40, 10, 0, **choice).records(1).tolist() == expected
