"""Numbers behind `order`: draws that numpy keeps for ever, and records moved between batches until no batch holds an id twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

ROUNDS = 100  # of swaps; a round settles most of what is left, so all but hopeless cases end far earlier
PATIENCE = 20  # rounds without a swap


def draws(n: int, seed: int, purpose: str, epoch: int) -> np.ndarray:
    """n draws [n] uint64, the i-th belonging to record i: a larger n continues the same sequence."""
    key = hashlib.blake2b(f"{purpose} {seed} {epoch}".encode(), digest_size=16).digest()
    return np.random.PCG64(int.from_bytes(key, "big")).random_raw(n)


def codes(*columns: np.ndarray) -> np.ndarray:
    """[n] int64 from 0: equal where all columns are equal, in the order of their values."""
    together = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        together = together * len(values) + code.reshape(-1)
        if len(columns) > 1:
            together = np.unique(together, return_inverse=True)[1]
    return together


def sorted_by(code: np.ndarray) -> np.ndarray:
    """The stable order of small whole numbers; numpy sorts those of 16 bits ten times as fast."""
    if len(code) and code.max() < 2**16:
        code = code.astype(np.uint16)
    return np.argsort(code, kind="stable")


def places(code: np.ndarray) -> np.ndarray:
    """0, 1, ... within each run of equal codes."""
    if not len(code):
        return np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    return np.arange(len(code)) - np.repeat(first, np.diff(np.r_[first, len(code)]))


def most_batches(cell: np.ndarray, counts: np.ndarray, size: int, cells: int, drop_last: bool) -> np.ndarray:
    """How many batches [cells] each cell fills if none holds an id twice: id j of cell[j] has counts[j] records.

    With `drop_last` the most that are full: t batches can be filled if the ids, each at most t times, give t * size
    records, which is true up to some t. Without it the fewest that take all records.
    """
    total, top = np.bincount(cell, counts, minlength=cells).astype(np.int64), np.zeros(cells, np.int64)
    np.maximum.at(top, cell, counts)
    if not drop_last:
        return np.maximum(-(-total // size), top)
    made = total // size
    bound = np.flatnonzero(top > made)
    if not len(bound):
        return made
    by_cell = sorted_by(cell)
    first = np.searchsorted(cell[by_cell], np.arange(cells + 1))
    for c in bound:
        own = counts[by_cell[first[c] : first[c + 1]]]
        low, high = 0, int(made[c])
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if np.minimum(own, middle).sum() >= middle * size else (low, middle - 1)
        made[c] = low
    return made


def spread(
    batch: np.ndarray, kind: np.ndarray, ids: np.ndarray, chance: Callable[[int, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Exchange records between batches until no batch holds an id twice, or what is left over finds no place.

    batch   [m] of each record
    kind    [m]; only records of one kind change places
    ids     [m k] whole numbers, -1 for none; a record has none of them twice
    chance  (round, count) -> draws [count] uint64

    Returns the batches [m], and [m] which records to leave out for no batch to hold an id twice.
    """
    batch = batch.copy()
    owner, column = np.nonzero(ids >= 0)
    entry = ids[owner, column].astype(np.int64)
    width = int(entry.max()) + 1 if len(entry) else 1
    clash = np.zeros(len(batch), bool)
    clash[_second(owner, batch[owner] * width + entry)] = True
    if not clash.any():
        return batch, clash
    by_kind = sorted_by(kind)
    first = np.searchsorted(kind[by_kind], np.arange(int(kind.max()) + 2))
    idle = 0
    for number in range(ROUNDS):
        mine = np.flatnonzero(clash)
        if not len(mine) or idle > PATIENCE:
            break
        start, end = first[kind[mine]], first[kind[mine] + 1]
        other = by_kind[start + (chance(number, len(mine)) % (end - start).astype(np.uint64)).astype(np.int64)]
        concerned = np.zeros(width + 1, bool)  # the last is for -1, no id
        concerned[ids[mine]] = concerned[ids[other]] = True
        near = np.flatnonzero(concerned[entry])
        there = np.sort(batch[owner[near]] * width + entry[near])
        fits = _absent(there, batch[other], ids[mine], width) & _absent(there, batch[mine], ids[other], width)
        swap = np.flatnonzero(fits & (batch[mine] != batch[other]))
        swap = swap[_disjoint(mine[swap], other[swap], len(batch))]
        a, b = mine[swap], other[swap]
        batch[a], batch[b] = batch[b], batch[a]
        idle = 0 if len(swap) else idle + 1
        # Two that moved into one batch at the same time may clash there, so what has moved is looked at again.
        clash[mine] = False
        clash[_second(owner[near], batch[owner[near]] * width + entry[near])] = True
    return batch, _fewest(clash, batch, owner, batch[owner] * width + entry)


def _second(owner: np.ndarray, key: np.ndarray) -> np.ndarray:
    """The owners of all but the first entry with each key."""
    ordered = np.sort(key)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(0, np.int64)
    found = np.minimum(np.searchsorted(twice, key), len(twice) - 1)
    hit = np.flatnonzero(twice[found] == key)
    hit = hit[np.argsort(key[hit], kind="stable")]
    return owner[hit[places(key[hit]) > 0]]


def _fewest(clash: np.ndarray, batch: np.ndarray, owner: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Of what clashes only as much as must go: two that clash with each other need not both."""
    if not clash.any():
        return clash
    concerned = np.zeros(int(batch.max()) + 1, bool)
    concerned[batch[clash]] = True
    taken = set(key[concerned[batch[owner]] & ~clash[owner]].tolist())
    keys: dict[int, list[int]] = {}
    for record, k in zip(owner[clash[owner]].tolist(), key[clash[owner]].tolist(), strict=True):
        keys.setdefault(record, []).append(k)
    left = clash.copy()
    for record, own in keys.items():
        if taken.isdisjoint(own):
            taken.update(own)
            left[record] = False
    return left


def _absent(there: np.ndarray, batch: np.ndarray, ids: np.ndarray, width: int) -> np.ndarray:
    """Whether a batch holds none of a record's ids."""
    free = np.ones(len(batch), bool)
    for column in ids.T:
        key = batch * width + column
        found = np.minimum(np.searchsorted(there, key), max(len(there) - 1, 0))
        free &= (column < 0) | (there[found] != key)
    return free


def _disjoint(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Which exchanges (a[i], b[i]) may happen at once: of those that share a record, the first."""
    first = np.full(n, len(a))
    number = np.arange(len(a))
    np.minimum.at(first, a, number)
    np.minimum.at(first, b, number)
    return (first[a] == number) & (first[b] == number)


def sorted_apart(batch: np.ndarray, label: np.ndarray, cost: np.ndarray, pool: np.ndarray, rounds: int) -> np.ndarray:
    """Exchange units between neighbouring batches of a pool until cheap ones lie in its first batches, dear ones in its last.

    No batch holds a label twice, before and after: of two neighbours that both have a label the first gets the cheaper unit;
    of the others the first gets the cheapest, as many as it had. Pairs of neighbours alternate, as in odd-even sorting.

    batch  [m] of each unit, sorted
    label  [m]; cost [m]
    pool   [batches], sorted
    """
    place, size = places(pool), np.bincount(pool)[pool]
    batch = batch.copy()
    for parity in range(rounds):
        low = np.arange(len(pool)) - (place - parity) % 2
        paired = (low >= 0) & (place - (place - parity) % 2 >= 0) & (place - (place - parity) % 2 + 1 < size)
        unit = np.flatnonzero(paired[batch])
        if not len(unit):
            continue
        pair = low[batch[unit]]
        order = np.lexsort((cost[unit], label[unit], pair))
        unit, pair = unit[order], pair[order]
        same = (pair[1:] == pair[:-1]) & (label[unit[1:]] == label[unit[:-1]])
        second = np.r_[False, same]
        alone = ~(second | np.r_[same, False])
        batch_before = batch[unit]
        batch[unit] = pair + second
        single, of = unit[alone], pair[alone]
        room = np.bincount(of[batch_before[alone] == of], minlength=len(pool))
        by_cost = np.lexsort((cost[single], of))
        batch[single[by_cost]] = of[by_cost] + (places(of[by_cost]) >= room[of[by_cost]])
    return batch
