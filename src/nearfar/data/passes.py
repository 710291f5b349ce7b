"""One source of records cut into batches, pass by pass: groups, ids to keep apart, classes, likeness of cost.

A pass is made in four steps, each vectorised over all groups at once.
  1. Units: single records, or with classes `per_class` records of one class.
  2. Dealing: units of equal id (or class) lie side by side in a stack and are dealt round the group's batches like cards, so
     no batch gets two of them. This is exact for one column of ids, and for classes.
  3. Spreading: where a record has several ids, what still clashes changes places with records of its own group (and class).
  4. Buckets: batches are pooled at random, a pool's units are sorted by cost and cut into batches again. A pool in which this
     brings two equal ids together that spreading cannot part stays as it was dealt. Classes are never brought together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar.core.errors import UsageError
from nearfar.data.spread import codes, draws, most_batches, places, sorted_apart, sorted_by, spread

ROUNDS = 16  # of sorting by cost where classes are kept apart: what is not sorted by then is sorted well enough


@dataclass(frozen=True, eq=False)
class Columns:
    """What an order knows of m records; every column is in whole numbers from 0.

    number  [m] of the record
    group   [m]
    ids     [m k], -1 for none and for those that no other record has, and no id twice in a row
    label   [m], the class
    cost    [m] of any numbers
    """

    number: np.ndarray
    group: np.ndarray
    ids: np.ndarray | None = None
    label: np.ndarray | None = None
    cost: np.ndarray | None = None

    def take(self, index: np.ndarray) -> Columns:
        """Some of the records."""
        some = (None if c is None else c[index] for c in (self.ids, self.label, self.cost))
        return Columns(self.number[index], self.group[index], *some)


@dataclass(frozen=True)
class Manner:
    """The settings of `Order` that hold within a source; `per_class` is 0 where no classes are balanced."""

    seed: int
    drop_last: bool = True
    even: bool = False
    small_groups: str = "refuse"
    per_class: int = 0
    small_classes: str = "refuse"
    buckets: int = 1


class Passes:
    """The batches of one source: `steps` of them in each pass, of at most `size` records."""

    def __init__(self, table: Columns, size: int, manner: Manner, tag: str = "", name: str = "") -> None:
        self.size, self.manner, self._tag, self._name = size, manner, tag, name
        self._table, counts = self._settled(table)
        self._counts = counts
        self.steps = int(counts.sum())
        self._first = np.cumsum(counts) - counts
        self._made: tuple[int, np.ndarray, np.ndarray] | None = None
        ids, label = self._table.ids, self._table.label
        self._cell = self._table.group if label is None else codes(self._table.group, label)
        if ids is not None:
            self._heavy = self._too_frequent(ids)
            # Records are dealt by the column with the most frequent id, since rare ones part easily; -1 shares with nobody.
            most = [int(np.bincount(c[c >= 0], minlength=1).max()) for c in ids.T]
            column = ids[:, int(np.argmax(most))]
            self._dealt_by = np.where(column < 0, ids.max(initial=0) + 1 + np.arange(len(column)), column)

    def batches(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The records [m] int32 of a pass, batch after batch, and the bounds [steps + 1] of the batches."""
        made = self._made
        if made is None or made[0] != number:
            made = self._made = (number, *self._pass(number))
        return made[1:]  # not the attribute's, which another thread may have set for another pass meanwhile

    # What is possible, once.

    def _settled(self, table: Columns) -> tuple[Columns, np.ndarray]:
        """The records that take part, with groups numbered from 0, and how many batches each group fills."""
        group = codes(table.group)
        counts = self._count(table, group)
        if self.manner.small_groups == "join" and 0 in counts:
            for _ in range(2):
                small = counts == 0
                if not small.any() or len(counts) == 1:
                    break
                if small.sum() == 1:  # what was joined fills no batch either: the smallest other group takes it in
                    sizes = np.bincount(group).astype(float)
                    sizes[small] = np.inf
                    small[int(np.argmin(sizes))] = True
                group = codes(np.where(small[group], -1, group))
                counts = self._count(table, group)
        if self.manner.small_groups == "leave_out" and (counts > 0).any():
            kept = np.flatnonzero(counts[group] > 0)
            table, group = table.take(kept), codes(group[kept])
            counts = counts[counts > 0]
        self._check_classes(table, group)
        if 0 in counts:
            self._refuse(table, group, int(np.flatnonzero(counts == 0)[0]), len(counts))
        return Columns(table.number, group, table.ids, table.label, table.cost), counts

    def _count(self, table: Columns, group: np.ndarray) -> np.ndarray:
        cells, drop = int(group.max()) + 1, self.manner.drop_last
        records = np.bincount(group)
        made = records // self.size if drop else -(-records // self.size)
        for column in () if table.ids is None else table.ids.T:
            has = column >= 0
            cell, counts = _counted(group[has], column[has])
            alone = np.flatnonzero(~has)
            cell, counts = np.r_[cell, group[alone]], np.r_[counts, np.ones(len(alone), np.int64)]
            found = most_batches(cell, counts, self.size, cells, drop)
            made = np.minimum(made, found) if drop else np.maximum(made, found)
        if table.label is None:
            return made
        cell, counts = _counted(group, table.label)
        found = most_batches(cell, counts // self.manner.per_class, self.size // self.manner.per_class, cells, drop)
        return np.minimum(made, found) if drop else found

    def _check_classes(self, table: Columns, group: np.ndarray) -> None:
        if table.label is None or self.manner.small_classes == "leave_out":
            return
        _, counts = _counted(group, table.label)
        few = counts[counts < self.manner.per_class]
        if len(few):
            raise UsageError(
                f"{len(few):,} classes have fewer than {self.manner.per_class} records"
                + (" within their group" if group.max() else ""),
                where=self._name or "per_class",
                remedy='lower per_class, or small_classes="leave_out" to train without these classes',
            )

    def _too_frequent(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(record, key, most): entries of the ids that have more records than their group has batches."""
        owner, column = np.nonzero(ids >= 0)
        group = self._table.group[owner]
        key = group * (int(ids.max(initial=0)) + 1) + ids[owner, column]
        _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        heavy = counts[inverse] > self._counts[group]
        return owner[heavy], inverse[heavy], self._counts[group[heavy]]

    def _refuse(self, table: Columns, group: np.ndarray, cell: int, cells: int) -> None:
        members = np.flatnonzero(group == cell)
        what = f"{len(members):,} records"
        if table.label is not None:
            what += f" of {len(np.unique(table.label[members])):,} classes"
        elif table.ids is not None:
            what += f" with {min(map(_different, table.ids[members].T)):,} different ids"
        remedy = 'choose a smaller batch, or last="short" (drop_last=False)'
        if table.label is not None:
            remedy += f", or more than {self.manner.per_class} records of a class (per_class)"
        if cells > 1:
            remedy += ', or small_groups="join"'
        if self._name:
            remedy += ", or mixed batches (one_source=False)"
        raise UsageError(
            f"{'' if cells == 1 else 'a group of '}{what} fill no batch of {self.size:,}",
            where=self._name or "batch_size",
            remedy=remedy,
        )

    # One pass.

    def _draws(self, count: int, purpose: str, number: int) -> np.ndarray:
        return draws(count, self.manner.seed, purpose + self._tag, number)

    def _pass(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        table = self._table
        record = np.argsort(self._draws(len(table.number), "order", number), kind="stable").astype(np.int32)
        if table.ids is not None:
            record = self._thinned(record, table.ids, number)
        if table.label is None:
            record, batch = self._dealt(record, number)
        else:
            record, batch = self._dealt_classes(record, number)
        if table.ids is not None and (table.label is not None or table.ids.shape[1] > 1):
            record, batch = self._parted(record, batch, number)
        if self.manner.buckets > 1 and table.cost is not None:
            record, batch = self._in_buckets(record, batch, number)
        if len(self._counts) > 1 or self.manner.buckets > 1:
            turn = np.empty(self.steps, np.int64)
            turn[np.argsort(self._draws(self.steps, "interleave", number), kind="stable")] = np.arange(self.steps)
            batch = turn[batch]
        by_batch = sorted_by(batch)
        bounds = np.concatenate([[0], np.bincount(batch, minlength=self.steps).cumsum()])
        return table.number[record[by_batch]].astype(np.int32), bounds

    def _thinned(self, record: np.ndarray, ids: np.ndarray, number: int) -> np.ndarray:
        """Without the records of ids that are more than the batches: as many stay as there are batches, others in each pass."""
        owner, key, most = self._heavy
        if not len(owner):
            return record
        rank = np.empty(len(ids), np.int64)
        rank[record] = np.arange(len(record))
        order = np.lexsort((rank[owner], key))
        over = order[places(key[order]) >= most[order]]
        kept = np.ones(len(ids), bool)
        kept[owner[over]] = False
        return record[kept[record]]

    def _dealt(self, record: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Records and their batches, in the order of the batches."""
        table = self._table
        if table.ids is not None:
            record = record[self._stacked(self._dealt_by[record], number)]
        record = record[sorted_by(table.group[record])] if len(self._counts) > 1 else record
        group = table.group[record]
        place, steps = places(group), self._counts[group]
        round_robin = table.ids is not None or (self.manner.even and not self.manner.drop_last)
        turn, slot = (place % steps, place // steps) if round_robin else (place // self.size, place % self.size)
        kept = np.flatnonzero((turn < steps) & (slot < self.size))
        batch = (self._first[group] + turn)[kept]
        by_batch = sorted_by(batch)
        return record[kept][by_batch], batch[by_batch]

    def _dealt_classes(self, record: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, in units of `per_class` records of one class."""
        table, size = self._table, self.manner.per_class
        assert table.label is not None
        if table.ids is not None:
            record = record[self._stacked(self._dealt_by[record], number)]
        cell = self._cell[record]
        order = sorted_by(cell)
        record, cell = record[order], cell[order]
        units = np.bincount(cell) // size
        place, count = places(cell), np.maximum(units[cell], 1)
        # Equal ids lie side by side: dealt round the units of their class they part as far as they can.
        unit, slot = (place % count, place // count) if table.ids is not None else (place // size, place % size)
        kept = np.flatnonzero((unit < units[cell]) & (slot < size))
        unit = (np.cumsum(units) - units)[cell[kept]] + unit[kept]
        record = record[kept][np.argsort(unit, kind="stable")].reshape(-1, size)
        # Now the units, shuffled, are dealt by their class round the batches of their group.
        shuffled = np.argsort(self._draws(len(record), "units", number), kind="stable")
        record = record[shuffled]
        record = record[self._stacked(table.label[record[:, 0]].astype(np.int64), number)]
        record = record[sorted_by(table.group[record[:, 0]])]
        record = record[places(self._cell[record[:, 0]]) < self._counts[table.group[record[:, 0]]]]
        group = table.group[record[:, 0]]
        place, steps = places(group), self._counts[group]
        kept = np.flatnonzero(place // steps < self.size // size)
        batch = (self._first[group] + place % steps)[kept]
        by_batch = sorted_by(batch)
        return record[kept][by_batch].reshape(-1), np.repeat(batch[by_batch], size)

    def _stacked(self, ids: np.ndarray, number: int) -> np.ndarray:
        """An order in which equal ids lie side by side, the ids in random turn."""
        top = int(ids.max(initial=0)) + 1
        mask = np.uint64(2 ** max(top - 1, 1).bit_length() - 1)
        turn = self._draws(top, "ids", number)[ids]
        return np.argsort(turn & ~mask | ids.astype(np.uint64), kind="stable")

    def _parted(self, record: np.ndarray, batch: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Without two equal ids in a batch."""
        table = self._table
        assert table.ids is not None
        batch, clash = self._spread(batch, self._cell[record], table.ids[record], "spread", number)
        return self._without(record, batch, clash)

    def _without(self, record: np.ndarray, batch: np.ndarray, clash: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Without some records, and with them the others of their class in that batch: a class is there in full or not at all."""
        order = sorted_by(batch)
        record, batch, clash = record[order], batch[order], clash[order]
        label = self._table.label
        if label is not None:
            order = np.lexsort((label[record], batch))
            record, batch, clash = record[order], batch[order], clash[order]
            clash = np.repeat(clash.reshape(-1, self.manner.per_class).any(1), self.manner.per_class)
        return record[~clash], batch[~clash]

    def _in_buckets(self, record: np.ndarray, batch: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        table, size = self._table, max(1, self.manner.per_class)
        assert table.cost is not None
        of_batch = np.repeat(np.arange(len(self._counts)), self._counts)
        pools = -(-self._counts // self.manner.buckets)
        pool_of = (np.cumsum(pools) - pools)[of_batch] + places(of_batch) * pools[of_batch] // self._counts[of_batch]
        unit, where = record.reshape(-1, size), batch[::size]
        cost = table.cost[unit].mean(1)
        if table.label is None:
            by_cost = np.argsort(cost, kind="stable")
            by_cost = by_cost[sorted_by(pool_of[where][by_cost])]
            moved = np.empty_like(where)
            moved[by_cost] = where
        else:
            moved = sorted_apart(where, table.label[unit[:, 0]], cost, pool_of, min(self.manner.buckets, ROUNDS))
        moved = np.repeat(moved, size)
        if table.ids is not None:
            pool = pool_of[batch]
            kind = pool if table.label is None else codes(pool, table.label[record])
            moved, clash = self._spread(moved, kind, table.ids[record], "buckets", number)
            stays = np.zeros(int(pool_of.max()) + 1, bool)
            stays[pool[clash]] = True
            moved = np.where(stays[pool], batch, moved)
        return self._without(record, moved, np.zeros(len(moved), bool))

    def _spread(
        self, batch: np.ndarray, kind: np.ndarray, ids: np.ndarray, purpose: str, number: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return spread(batch, kind, ids, lambda r, count: self._draws(count, f"{purpose} {r}", number))


def _counted(group: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group and the number of records of each pair (group, value) that there is."""
    width = int(column.max(initial=0)) + 1
    key, counts = np.unique(group.astype(np.int64) * width + column, return_counts=True)
    return key // width, counts


def _different(ids: np.ndarray) -> int:
    return len(np.unique(ids[ids >= 0])) + int((ids < 0).sum())
