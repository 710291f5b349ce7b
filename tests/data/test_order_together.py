"""Everything that may be asked of an order, asked for at the same time."""

from __future__ import annotations

import dataclasses
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.core.batching import Batching
from nearfar.core.errors import UsageError
from nearfar.core.ids import string_ids
from nearfar.core.tree import from_json, override, to_json
from nearfar.data.order import Order
from nearfar.data.spread import most_batches, spread


def epoch(steps, number):
    first = number * steps.steps_per_epoch
    return [steps.records(first + i).tolist() for i in range(steps.steps_per_epoch)]


def flat(batches):
    return [r for batch in batches for r in batch]


def table(n, seed, sources=3, groups=2, id_range=60, id_columns=2, classes=5):
    draw = np.random.default_rng(seed)
    return {
        "source": draw.choice(sources, n, p=np.array([4, 2, 1][:sources]) / sum([4, 2, 1][:sources])),
        "cluster": draw.integers(0, groups, n),
        **{f"id{i}": draw.integers(-1, id_range, n) for i in range(id_columns)},
        "label": draw.integers(0, classes, n),
        "cost": draw.lognormal(2, 1, n),
    }


# What a batch must be, by definition; each is told apart from a batch that is not so.


def ids_once(batch, columns, names):
    held = Counter(i for r in batch for i in {int(columns[name][r]) for name in names} - {-1})
    return max(held.values(), default=1) == 1


def groups_pure(batch, columns, sources, groups):
    return all(
        len({columns[groups][r] for r in batch if sources is None or columns[sources][r] == s}) == 1
        for s in ({columns[sources][r] for r in batch} if sources else {None})
    )


def classes_full(batch, columns, per_class):
    return set(Counter(columns["label"][r] for r in batch).values()) <= {per_class}


def check_batch(batch, columns, wanted, size):
    assert 0 < len(batch) <= size
    assert len(set(batch)) == len(batch)
    assert ids_once(batch, columns, wanted.avoid)
    if wanted.sources is not None and wanted.one_source:
        assert len({columns["source"][r] for r in batch}) == 1
    if wanted.groups is not None and wanted.small_groups != "join":
        assert groups_pure(batch, columns, wanted.sources, wanted.groups)
    if wanted.balance is not None:
        assert classes_full(batch, columns, wanted.per_class)


wishes = st.fixed_dictionaries(
    {
        "sources": st.sampled_from([None, "source"]),
        "one_source": st.booleans(),
        "temperature": st.sampled_from([1.0, 3.0]),
        "groups": st.sampled_from([None, "cluster"]),
        "small_groups": st.sampled_from(["refuse", "join", "leave_out"]),
        "avoid": st.sampled_from([(), ("id0",), ("id0", "id1")]),
        "balance": st.sampled_from([None, "label"]),
        "per_class": st.just(2),
        "small_classes": st.just("leave_out"),
        "buckets": st.sampled_from([1, 3]),
        "last": st.sampled_from(["drop", "short", "even"]),
    }
)


def test_all_wishes_hold_together():
    held: Counter = Counter()

    @settings(max_examples=60)
    @given(wishes, st.integers(60, 200), st.sampled_from([6, 8]), st.integers(0, 10**6), st.sampled_from([25, 2000]))
    def check(wishes, n, size, seed, id_range):
        wanted = Batching(**wishes)
        columns = table(n, seed, id_range=id_range)
        try:
            steps = Order.of(wanted, size, columns, seed)
        except UsageError:
            held["refused"] += 1
            return
        whole = [epoch(steps, number) for number in (0, 1, 4)]
        for batches in whole:
            for batch in batches:
                check_batch(batch, columns, wanted, size)
        assert whole[0] != whole[1]
        # A pure function of the step, whatever was asked before, and in a fresh order.
        step = 4 * steps.steps_per_epoch + seed % steps.steps_per_epoch
        assert Order.of(wanted, size, columns, seed).records(step).tolist() == whole[2][step % steps.steps_per_epoch]
        assert sorted(set(flat(whole[1])) | set(steps.left_out(1).tolist())) == list(range(n))
        repeated = len(flat(whole[1])) - len(set(flat(whole[1])))
        # Unweighted sources are passed over once an epoch.
        if wanted.sources is None or (wanted.one_source and wanted.temperature == 1):
            assert not repeated or (
                wanted.balance and wanted.avoid
            )  # the one case in which a batch may have been empty
            if (
                wanted.last != "drop"
                and len(wanted.avoid) < 2
                and not wanted.balance
                and wanted.small_groups != "leave_out"
            ):
                assert sorted(flat(whole[1])) == list(range(n))
        held["made"] += 1
        for field in dataclasses.fields(wanted):
            if getattr(wanted, field.name) not in (None, (), 1, 1.0, True):
                held[field.name] += 1
        held["all"] += bool(wanted.sources and wanted.groups and wanted.avoid and wanted.balance and wanted.buckets > 1)

    check()
    everything = {
        "sources": "source",
        "groups": "cluster",
        "small_groups": "join",
        "avoid": ("id0", "id1"),
        "balance": "label",
        "per_class": 2,
        "small_classes": "leave_out",
        "buckets": 3,
    }
    for seed in range(6):  # what is drawn seldom asks for all at once
        for last, one_source in (("drop", True), ("even", False)):
            check.hypothesis.inner_test({**everything, "last": last, "one_source": one_source}, 200, 8, seed, 2000)
    assert held["made"] > 3 * held["refused"]
    assert held["all"] > 1
    assert min(held[f] for f in ("sources", "groups", "avoid", "balance", "buckets")) > 15


def test_a_plain_order_has_none_of_it():
    columns = table(300, 0, id_range=100)
    plain = epoch(Order(300, 12, 0), 0)
    assert not all(ids_once(b, columns, ("id0", "id1")) for b in plain)
    assert not any(groups_pure(b, columns, "source", "cluster") for b in plain)
    assert not any(classes_full(b, columns, 2) for b in plain)
    # One column of ids apart is not two columns apart, and across columns counts too.
    one = epoch(Order(300, 12, 0, avoid=columns["id0"]), 0)
    assert not all(ids_once(b, columns, ("id0", "id1")) for b in one)
    crossed = {"id0": np.arange(40), "id1": np.roll(np.arange(40), 1)}
    both = np.stack(list(crossed.values()), 1)
    assert not all(ids_once(b, crossed, crossed) for b in epoch(Order(40, 8, 0, avoid=both[:, 0]), 0))
    assert all(ids_once(b, crossed, crossed) for b in epoch(Order(40, 8, 0, avoid=both), 0))


# Several ids a record.


def test_several_ids_fill_their_batches_where_they_can():
    draw = np.random.default_rng(0)
    ids = np.stack([draw.integers(0, 1500, 3000), draw.integers(1500, 3000, 3000)], 1)
    steps = Order(3000, 64, 0, avoid=ids)
    for number in (0, 1):
        assert {len(b) for b in epoch(steps, number)} == {64}
    assert len(steps.left_out(0)) == 3000 % 64
    # Each record's own id twice is no clash; -1 is none.
    assert len(flat(epoch(Order(64, 8, 0, avoid=np.repeat(np.arange(64)[:, None], 2, 1)), 0))) == 64
    assert len(flat(epoch(Order(64, 8, 0, avoid=np.full((64, 2), -1)), 0))) == 64
    # A hub comes in every batch, once.
    hub = ids.copy()
    hub[:600, 1] = 9999
    steps = Order(3000, 64, 0, avoid=hub)
    assert [sum(r < 600 for r in b) for b in epoch(steps, 0)] == [1] * steps.steps_per_epoch
    assert steps.steps_per_epoch == (3000 - 600) // 63


def test_what_finds_no_place_is_left_out_and_counted():
    pairs = np.array(
        [[i, 100 + j] for i in range(4) for j in range(4)]
    )  # 16 edges of a 4 x 4 grid: 4 of them at most fit
    steps = Order(16, 4, 0, avoid=pairs)
    batches = epoch(steps, 0)
    assert all(len({tuple(p) for p in pairs[b]}) == len(b) for b in batches)
    assert len(flat(batches)) + len(steps.left_out(0)) == 16
    assert len(flat(batches)) >= 12
    seen = set().union(*(flat(epoch(steps, e)) for e in range(12)))
    assert seen == set(range(16))


def test_spread_exchanges_within_kinds_only_and_settles_what_it_can():
    draw = np.random.default_rng(1)
    batch, kind = np.repeat(np.arange(50), 20), np.tile(np.arange(20) % 2, 50)
    ids = draw.integers(0, 700, (1000, 2))
    ids[ids[:, 0] == ids[:, 1], 1] = -1
    moved, clash = spread(batch, kind, ids, lambda r, n: np.random.PCG64(r).random_raw(n))
    columns = {"a": ids[:, 0], "b": ids[:, 1]}
    assert not clash.any()
    assert all(ids_once(np.flatnonzero(moved == b), columns, columns) for b in range(50))
    assert not all(ids_once(np.flatnonzero(batch == b), columns, columns) for b in range(50))
    for k in (0, 1):
        assert (np.bincount(moved[kind == k]) == 10).all()
    # Nothing to exchange with: of each two that clash one is left over, and no more.
    alone, clash = spread(
        np.zeros(6, int),
        np.zeros(6, int),
        np.array([[0], [0], [1], [1], [2], [0]]),
        lambda r, n: np.zeros(n, np.uint64),
    )
    assert alone.tolist() == [0] * 6
    assert clash.sum() == 3


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 3))
def test_most_batches_by_definition(counts, size, cells):
    cell = np.arange(len(counts)) % (cells + 1)
    counts = np.array(counts)
    found = most_batches(cell, counts, size, cells + 1, True)
    for c in range(cells + 1):
        own = counts[cell == c]
        fits = [t for t in range(100) if np.minimum(own, t).sum() >= t * size]
        assert found[c] == max(fits)


# Sources and their shares.


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1, "c": 1}, {"a": 5.5, "b": 2, "c": 0.7}])
def test_weighted_sources_get_their_steps_and_every_record_its_turn(weights):
    names = np.repeat(["a", "b", "c"], [700, 200, 100])
    steps = Order(1000, 10, 0, sources=names, weights=weights)
    assert steps.steps_per_epoch == 100
    total = sum(weights.values())
    done: Counter = Counter()
    seen: Counter = Counter()
    for number in range(9):
        for batch in epoch(steps, number):
            assert len({names[r] for r in batch}) == 1
            done[names[batch[0]]] += 1
            seen.update(batch)
        for name, weight in weights.items():
            assert abs(done[name] - 100 * (number + 1) * weight / total) < 1
    # Whole passes: two records of a source never differ by more than one.
    for name, size in (("a", 700), ("b", 200), ("c", 100)):
        counts = [seen[r] for r in np.flatnonzero(names == name)]
        assert max(counts) - min(counts) <= 1
        assert sum(counts) == done[name] * 10
        assert min(counts) == done[name] * 10 // size
    proportional = Counter(names[b[0]] for b in epoch(Order(1000, 10, 0, sources=names), 0))
    assert proportional == {"a": 70, "b": 20, "c": 10}
    assert any(abs(proportional[n] - 100 * w / total) > 1 for n, w in weights.items())


def test_temperature_levels_the_shares():
    names = np.repeat([0, 1], [900, 100])
    shares = []
    for temperature in (1.0, 2.0, 1e6):
        steps = Order(1000, 10, 0, sources=names, temperature=temperature)
        shares.append(sum(names[b[0]] for e in range(8) for b in epoch(steps, e)) / (8 * steps.steps_per_epoch))
    assert shares[0] == pytest.approx(0.1)
    assert shares[1] == pytest.approx(0.25, abs=1 / 800)  # the roots of 900 and 100 are as 3 to 1
    assert shares[2] == pytest.approx(0.5, abs=1 / 800)
    by_name = Order(1000, 10, 0, sources=names, weights={"0": 9, "1": 1}, temperature=2.0)
    assert [b.tolist() for b in map(by_name.records, range(9))] == [
        Order(1000, 10, 0, sources=names, temperature=2.0).records(t).tolist() for t in range(9)
    ]


def test_mixed_batches_hold_exact_shares():
    names = np.repeat(["a", "b", "c"], [700, 200, 100])
    weights = {"a": 1, "b": 2, "c": 1}
    steps = Order(1000, 20, 0, sources=names, weights=weights, one_source=False)
    seen: Counter = Counter()
    for number in range(3):
        for batch in epoch(steps, number):
            assert Counter(names[batch]) == {"a": 5, "b": 10, "c": 5}
            assert len(set(batch)) == 20
            seen.update(batch)
    for name in weights:
        counts = [seen[r] for r in np.flatnonzero(names == name)]
        assert max(counts) - min(counts) <= 1
    assert Counter(len(set(names[b])) for b in epoch(Order(1000, 20, 0, sources=names, weights=weights), 0)) == {1: 50}
    label = np.arange(1000) % 50
    balanced = epoch(Order(1000, 20, 0, sources=names, one_source=False, classes=label, per_class=2), 0)
    for batch in balanced:
        assert Counter(names[batch]) == {"a": 14, "b": 4, "c": 2}
        assert classes_full(batch, {"label": label}, 2)


def test_twins_in_different_sources_do_not_meet_in_a_mixed_batch():
    names, twin = np.repeat([0, 1], 200), np.tile(np.arange(200), 2)
    free = epoch(Order(400, 40, 0, sources=names, one_source=False), 0)
    assert any(len(set(twin[b])) < 40 for b in free)
    steps = Order(400, 40, 0, sources=names, one_source=False, avoid=twin)
    assert all(len(set(twin[b])) == 40 for e in range(3) for b in epoch(steps, e))


def test_names_of_sources_are_found_behind_their_ids():
    columns = {"source": np.repeat(string_ids(["nli", "qa"]), [60, 40])}
    steps = Order.of(Batching(weights={"qa": 3, "nli": 1}), 10, columns, 0)
    turns = Counter(columns["source"][b[0]] for e in range(4) for b in epoch(steps, e))
    assert turns == {string_ids(["nli"])[0]: 10, string_ids(["qa"])[0]: 30}
    with pytest.raises(UsageError, match="no source 'nil'"):
        Order.of(Batching(weights={"nil": 3, "nli": 1}), 10, columns, 0)
    given = {**columns, "source_weight": np.repeat([1.0, 3.0], [60, 40])}
    told = Order.of(Batching(), 10, given, 0)
    assert [told.records(t).tolist() for t in range(8)] != [
        steps.records(t).tolist() for t in range(8)
    ]  # other names, other draws
    assert Counter(given["source"][b[0]] for e in range(4) for b in epoch(told, e)) == turns
    level = Order.of(Batching(weights="proportional"), 10, given, 0)
    assert Counter(given["source"][b[0]] for b in epoch(level, 0)) != turns
    assert len(flat(epoch(level, 0))) == 100


# Classes.


def test_classes_come_as_often_as_they_have_records():
    label = np.repeat(np.arange(6), [40, 40, 20, 20, 10, 6])
    steps = Order(136, 12, 0, classes=label, per_class=3)
    seen: Counter = Counter()
    for number in range(20):
        batches = epoch(steps, number)
        assert all(set(Counter(label[b]).values()) == {3} and len(b) == 12 for b in batches)
        assert max(Counter(flat(batches)).values()) == 1
        seen.update(flat(batches))
    assert len(seen) == 136  # what is left out is another in each epoch
    assert steps.steps_per_epoch == most_batches(np.zeros(6, int), np.bincount(label) // 3, 4, 1, True)[0]
    kept = Order(136, 12, 0, classes=label, per_class=3, drop_last=False)
    assert Counter(label[flat(epoch(kept, 0))]) == {0: 39, 1: 39, 2: 18, 3: 18, 4: 9, 5: 6}


def test_equal_records_of_a_class_do_not_meet_either():
    label, twin = np.arange(240) % 6, np.arange(240) // 12
    steps = Order(240, 12, 0, classes=label, per_class=4, avoid=np.stack([twin, twin + 100 + label], 1))
    for batch in epoch(steps, 0):
        assert set(Counter(label[batch]).values()) <= {4}
        assert len(set(twin[batch])) == len(batch)
    plain = Order(240, 12, 0, classes=label, per_class=4)
    assert any(len(set(twin[b])) < 12 for b in epoch(plain, 0))


# Likeness of cost.


def unlikeness(batches, cost):
    """How much is padding: the share of a batch's longest record that the others leave empty."""
    return float(np.mean([1 - cost[b].mean() / cost[b].max() for b in batches]))


@pytest.mark.parametrize("more", [{}, {"avoid": 1}, {"classes": 1}, {"sources": 1, "one_source": False}])
def test_buckets_bring_like_costs_together(more):
    draw = np.random.default_rng(0)
    cost = draw.lognormal(3, 1, 2000)
    columns = {
        "avoid": np.stack([draw.integers(0, 1000, 2000), draw.integers(1000, 2000, 2000)], 1),
        "classes": draw.integers(0, 40, 2000),
        "sources": draw.integers(0, 2, 2000),
    }
    options = {name: columns.get(name, value) for name, value in more.items()}
    plain = unlikeness(epoch(Order(2000, 20, 0, **options), 0), cost)
    steps = Order(2000, 20, 0, cost=cost, buckets=20, **options)
    batches = epoch(steps, 0)
    assert plain > 0.7
    assert unlikeness(batches, cost) < (0.45 if not more else 0.6)
    assert max(Counter(flat(batches)).values()) <= 1 + ("sources" in more)
    # No order by cost is left over: neither in an epoch's steps nor in who is left out.
    means = np.array([cost[b].mean() for b in batches])
    assert abs(np.corrcoef(np.argsort(np.argsort(means)), np.arange(len(means)))[0, 1]) < 0.35
    sorted_steps = np.sort(means)
    assert np.corrcoef(np.argsort(np.argsort(sorted_steps)), np.arange(len(means)))[0, 1] > 0.99
    # And a record meets others in the next epoch.
    first = {r: set(b) for b in batches for r in b}
    again = {r: set(b) for b in epoch(steps, 1) for r in b}
    assert np.mean([len(first[r] & again[r]) for r in set(first) & set(again)]) < 8


def test_long_records_are_left_out_no_more_often_than_short_ones():
    cost = np.arange(70.0)
    steps = Order(70, 16, 0, cost=cost, buckets=4)
    left: Counter = Counter()
    for number in range(600):
        left.update(steps.left_out(number).tolist())
    halves = sum(left[r] for r in range(35)), sum(left[r] for r in range(35, 70))
    assert sum(halves) == 600 * 6
    assert abs(halves[0] - 1800) < 4 * (3600 / 4) ** 0.5
    sorted_then_cut = Counter(range(64, 70))  # the wrong variant leaves out the longest
    assert not abs(sum(sorted_then_cut[r] for r in range(35)) - 3) < 3


# Groups that change.


def test_other_groups_from_an_epoch_on():
    old, new = np.arange(120) % 3, np.arange(120) // 30
    steps = Order(120, 10, 0, groups=old)
    changed = steps.with_groups(new, step=24)
    assert changed.epoch_of(24) == 2
    assert changed.epoch_of(24 + 12) == 3
    for step in range(24, 48):
        assert len(set(new[changed.records(step)])) == 1
        assert len(set(old[changed.records(step)])) > 1
    assert sorted(np.concatenate([changed.records(t) for t in range(24, 36)]).tolist()) == list(range(120))
    with pytest.raises(UsageError, match="before the first"):
        changed.records(23)
    resumed = Order(120, 10, 0, groups=old).with_groups(new, step=24)
    assert all((resumed.records(t) == changed.records(t)).all() for t in (40, 24))
    assert (steps.records(3) == Order(120, 10, 0, groups=old).records(3)).all()
    # Other draws than the first epochs' with these groups, and again others from a later step on.
    fresh, later = Order(120, 10, 0, groups=new), changed.with_groups(new, step=48)
    assert later.epoch_of(48) == 4
    assert fresh.records(0).tolist() != changed.records(24).tolist() != later.records(48).tolist()
    free = steps.with_groups(None)
    assert any(len(set(old[free.records(t)])) > 1 for t in range(12))


def test_small_groups():
    groups = np.repeat([0, 1, 2, 3], [40, 5, 4, 3])
    with pytest.raises(UsageError, match="a group of 5 records") as caught:
        Order(52, 8, 0, groups=groups)
    assert "join" in caught.value.remedy
    joined = epoch(Order(52, 8, 0, groups=groups, small_groups="join"), 0)
    assert Counter(frozenset(groups[b] > 0) for b in joined) == {frozenset({False}): 5, frozenset({True}): 1}
    alone = epoch(Order(45, 8, 0, groups=groups[:45], small_groups="join"), 0)
    assert len(alone) == 5  # five records fill no batch by themselves: they join the large group
    assert {
        g
        for e in range(9)
        for r in flat(epoch(Order(45, 8, 0, groups=groups[:45], small_groups="join"), e))
        for g in [groups[r]]
    } == {0, 1}
    left = Order(52, 8, 0, groups=groups, small_groups="leave_out")
    assert set(groups[flat(epoch(left, 0))]) == {0}
    assert set(left.left_out(0).tolist()) == set(range(40, 52))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Order(20, 6, 0, classes=np.arange(20) % 4, per_class=4), "whole number of classes"),
        (lambda: Order(20, 8, 0, classes=[0] * 17 + [1] * 3, per_class=4), "1 classes have fewer than 4"),
        (lambda: Order(20, 8, 0, classes=[0] * 20, per_class=4), "20 records of 1 classes fill no batch"),
        (lambda: Order(20, 8, 0, sources=[0] * 18 + [1] * 2), "source 1"),
        (lambda: Order(20, 4, 0, sources=[0] * 16 + [1] * 4, weights={"0": 99, "1": 1}), "less than a step"),
        (
            lambda: Order(20, 4, 0, sources=[0] * 16 + [1] * 4, weights={"0": 99, "1": 1}, one_source=False),
            "no record in a batch",
        ),
        (lambda: Order(20, 4, 0, sources=[0] * 16 + [1] * 4, weights={"0": 1}), "no weight"),
        (lambda: Order(20, 4, 0, sources=[0] * 16 + [1] * 4, weights={"0": 1, "1": 1, "2": 1}), "no source '2'"),
        (lambda: Order(20, 4, 0, sources=[0] * 16 + [1] * 4, weights={"0": 1, "1": -1}), "above zero"),
        (lambda: Order(20, 4, 0, avoid=np.zeros((20, 1, 1))), "avoid has shape"),
        (lambda: Order(20, 4, 0, cost=np.zeros(3), buckets=2), "cost has shape"),
        (lambda: Order.of(Batching(groups="topic"), 4, {"label": np.zeros(9)}, 0), "no column 'topic'"),
        (lambda: Order.of(Batching(sources="origin"), 4, {"label": np.zeros(9)}, 0), "no column 'origin'"),
        (lambda: Order.of(Batching(weights={"a": 1}), 4, {"label": np.zeros(9)}, 0), "no column 'source'"),
        (lambda: Order.of(Batching(buckets=2), 4, {"label": np.zeros(9)}, 0), "no column 'cost'"),
        (lambda: Order.of(Batching(), 4, {}, 0), "number"),
        (lambda: Batching(temperature=0.0), "temperature"),
        (lambda: Batching(per_class=0), "per_class"),
        (lambda: Batching(buckets=0), "buckets"),
        (lambda: Batching(weights={"a": 0.0}), "weight of 'a'"),
        (lambda: Batching(sources=None, weights={"a": 1.0}), "without sources"),
    ],
)
def test_what_cannot_be_is_refused(make, match):
    with pytest.raises(UsageError, match=match) as caught:
        make()
    assert caught.value.remedy


def test_a_batching_is_data():
    wanted = Batching(weights={"a": 2.0, "b": 1.0}, avoid=("query", "document"), balance="label", last="even")
    assert from_json(Batching, to_json(wanted)) == wanted
    assert override(wanted, "weights.a=3").weights == {"a": 3, "b": 1.0}
    assert override(Batching(), 'avoid=["query"]').avoid == ("query",)
    assert len(flat(epoch(Order.of(Batching(), 5, {}, 0, n=20), 0))) == 20
    for wrong in ("last=never", "grups=topic"):
        with pytest.raises(UsageError):
            override(wanted, wrong)


def test_orders_never_change_between_versions():
    """A recorded sum: a stored step number must mean the same records next year."""
    columns = table(400, 7, id_range=150)
    wanted = Batching(
        groups="cluster",
        avoid=("id0", "id1"),
        balance="label",
        buckets=3,
        small_classes="leave_out",
        small_groups="join",
    )
    for one_source, expected in ((True, RECORDED[0]), (False, RECORDED[1])):
        steps = Order.of(dataclasses.replace(wanted, one_source=one_source), 8, columns, 5)
        found = [
            sum((i + 1) * int(r) for i, r in enumerate(steps.records(t))) for t in (0, 7, steps.steps_per_epoch + 3)
        ]
        assert found == expected


RECORDED = [10096, 7657, 8920], [7272, 5134, 8571]


def test_what_is_kept_is_one_plan_of_small_numbers():
    steps = Order(5000, 50, 0, sources=np.arange(5000) % 2, weights={"0": 3, "1": 1})
    for step in range(0, 900, 37):
        steps.records(step)
    kept = [steps._plan[1], *(p._made[1] for p in steps._passes)]
    assert all(a.dtype == np.int32 for a in kept)
    assert sum(map(len, kept)) <= 2 * 5000
    assert Fraction(steps.steps_per_epoch) == 100


def test_no_batch_is_empty():
    """Classes of two records that must not meet: nothing of such a batch is left, and training goes on with another."""
    label, twin = np.arange(40) // 2, np.r_[np.arange(38), 38, 38]
    steps = Order(40, 2, 0, classes=label, per_class=2, avoid=np.stack([twin, twin + 100], 1))
    batches = epoch(steps, 0)
    assert {len(b) for b in batches} == {2}
    assert len(set(flat(batches))) == 38
    assert steps.left_out(0).tolist() == [38, 39]
    with pytest.raises(UsageError, match="no two records"):
        Order(4, 2, 0, classes=[0, 0, 1, 1], per_class=2, avoid=np.array([[0, 5], [0, 6], [1, 7], [1, 8]])).records(0)
