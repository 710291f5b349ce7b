"""Which records form step t: a pure function of (seed, t), never of workers, ranks, or what was drawn before.

That is why a run resumes from one integer, and why the same seed gives the same batches on one machine and on
sixty-four. Shuffling sorts one 64-bit draw a record. The draws are raw output of PCG64, which numpy keeps fixed for
ever; its `permutation` may change between versions.

Every source of records is passed over again and again; within a pass each of its records comes once (`passes.py` says which
batch it comes in). An epoch has as many steps as one pass over every source. Weighted sources get their share of an epoch's
steps, to within one step for ever: those with a large share are passed over several times an epoch, the others in part, and go
on in the next epoch where they stopped.

Sources: one source a batch is what Nomic Embed and Arctic-Embed train with; clusters within it are Merrick 2024 (arXiv 2407.18887),
k-means of given embeddings within each source, 10 clusters there. P classes of K records: Hermans et al. 2017 (arXiv 1703.07737),
who draw the classes alike; here every record comes once an epoch, so a class comes as often as it has records. Shares to the
power 1 / temperature are what multilingual training samples languages by.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from nearfar.core.batching import Batching
from nearfar.core.errors import UsageError
from nearfar.core.ids import string_ids
from nearfar.data.passes import Columns, Manner, Passes
from nearfar.data.spread import codes, draws, sorted_by, spread

_ONE = 2**40  # shares are whole numbers of this part, so that sums over any number of epochs are exact


def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation [n] int64 of the record numbers.

    >>> sorted(order(4, seed=0, epoch=0).tolist())
    [0, 1, 2, 3]
    """
    return np.argsort(draws(n, seed, "order", epoch), kind="stable")


class Order:
    """The records of every step of a training without end. `Order.of` makes one of a `Batching`, which explains the settings.

    n            number of records, or of pairs
    batch_size   records a step
    seed         the only source of chance
    drop_last    whether the records of a pass that fill no batch are left out (others in each pass)
    even         without `drop_last`: batches of nearly equal size, instead of a short last one
    groups       [n] of anything comparable: every batch holds records of one group only, batches of all groups
                 interleaved
    avoid        [n] or [n k] of ids of which no batch holds one twice, such as `document_id`; -1 is none. With `drop_last` a pass
                 takes as many batches as can be filled so; without it all records are taken, in batches of nearly equal
                 size. This is exact for [n]. With several ids a record, those that find no place are left out of the
                 pass, and their batch is smaller; `left_out` counts them
    sources      [n]; `weights` (by name, or [n] that of each record's source), `temperature`, `one_source`: how they share the
                 steps, or each batch
    classes      [n]; batches of `per_class` records of each of batch_size / per_class classes. What a class has more than a
                 multiple of that is left out of the pass (others in each pass)
    cost         [n]; with `buckets` > 1 records of like cost share a batch

    Errors: UsageError for what cannot be: no full batch, a group that would never be seen, a class with too few records, a
    source with less than a step an epoch (less than a record a batch).

    >>> steps = Order(10, batch_size=4, seed=0)
    >>> steps.steps_per_epoch, steps.epoch_of(5), len(steps.records(5))
    (2, 2, 4)
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        *,
        drop_last: bool = True,
        even: bool = False,
        groups: Any = None,
        small_groups: Literal["refuse", "join", "leave_out"] = "refuse",
        avoid: Any = None,
        sources: Any = None,
        weights: Literal["proportional"] | Mapping[str, float] | np.ndarray = "proportional",
        temperature: float = 1.0,
        one_source: bool = True,
        classes: Any = None,
        per_class: int = 2,
        small_classes: Literal["refuse", "leave_out"] = "refuse",
        cost: Any = None,
        buckets: int = 1,
    ) -> None:
        if n < 1 or batch_size < 1:
            raise UsageError(f"{n} records in batches of {batch_size} make no step", remedy="give at least one of each")
        self.n, self.batch_size, self.seed, self.drop_last = int(n), int(batch_size), int(seed), drop_last
        self._one_source = one_source or sources is None
        self._even_shares = isinstance(weights, str) and temperature == 1
        self._manner = Manner(
            self.seed, drop_last, even, small_groups, per_class if classes is not None else 0, small_classes, buckets
        )
        if classes is not None and batch_size % per_class:
            raise UsageError(
                f"batches of {batch_size} hold no whole number of classes of {per_class}",
                where="per_class",
                remedy=f"choose a batch size that is a multiple of {per_class}",
            )
        self._table = Columns(
            np.arange(self.n),
            np.zeros(self.n, np.int64) if groups is None else self._column(groups, "groups"),
            None if avoid is None else _ids(self._checked(avoid, "avoid", 2)),
            None if classes is None else self._column(classes, "classes"),
            self._checked(cost, "cost", 1) if cost is not None and buckets > 1 else None,
        )
        given = np.zeros(self.n, np.int64) if sources is None else self._checked(sources, "sources", 1)
        names, self._source = np.unique(given, return_inverse=True)
        self._names = [str(name) for name in names]
        self._shares = self._shares_of(names, weights, temperature)
        self._begin((0, 0))

    @classmethod
    def of(
        cls,
        batching: Batching,
        batch_size: int,
        records_columns: Mapping[str, np.ndarray],
        seed: int,
        n: int | None = None,
    ) -> Order:
        """The order that `batching` describes, over records with these columns; `n` of them where there may be no column.

        Raises UsageError for a column that is not there, and what `Order` raises.

        >>> columns = {"topic": np.array([0, 0, 1, 1]), "document": np.array([5, 6, 7, 8])}
        >>> steps = Order.of(Batching(groups="topic", avoid=("document",)), 2, columns, seed=0)
        >>> sorted(sorted(steps.records(t).tolist()) for t in (0, 1))
        [[0, 1], [2, 3]]
        """

        def column(name: str | None, setting: str) -> Any:
            if name is None:
                return None
            if name not in records_columns:
                there = ", ".join(sorted(records_columns)) or "none"
                remedy = f"the columns are {there}"
                raise UsageError(f"the records have no column {name!r}", where=f"batching.{setting}", remedy=remedy)
            return records_columns[name]

        if n is None:
            if not records_columns:
                raise UsageError("records without a column do not tell their number", where="n", remedy="give n")
            n = len(next(iter(records_columns.values())))
        avoided = [np.asarray(column(name, "avoid")) for name in batching.avoid]
        sources, weights = batching.sources, batching.weights
        given: Any = weights
        if sources == Batching.sources and sources not in records_columns and isinstance(weights, str):
            sources = None
        if weights == "given":
            given = records_columns.get(f"{sources}_weight", "proportional")
        return cls(
            n,
            batch_size,
            seed,
            drop_last=batching.last == "drop",
            even=batching.last == "even",
            groups=column(batching.groups, "groups"),
            small_groups=batching.small_groups,
            avoid=np.concatenate([c.reshape(len(c), -1) for c in avoided], 1) if avoided else None,
            sources=column(sources, "sources"),
            weights=given,
            temperature=batching.temperature,
            one_source=batching.one_source,
            classes=column(batching.balance, "balance"),
            per_class=batching.per_class,
            small_classes=batching.small_classes,
            cost=column(batching.cost, "cost") if batching.buckets > 1 else None,
            buckets=batching.buckets,
        )

    @property
    def start(self) -> tuple[int, int]:
        """The step and the epoch that this order begins with: (0, 0), unless its groups were changed on the way."""
        return self._start

    def with_groups(self, groups: Any, step: int = 0, *, epoch: int | None = None) -> Order:
        """The same with other groups [n], such as clusters of a model that has learned since; None: no groups.

        It holds from `step` on, which begins a new epoch and new passes. The number of that epoch follows from the orders before,
        unless it is given: a run that resumes gives step and epoch of the `start` that it wrote down.
        """
        made = object.__new__(Order)
        made.__dict__.update(self.__dict__)
        group = np.zeros(self.n, np.int64) if groups is None else self._column(groups, "groups")
        table = self._table
        made._table = Columns(table.number, group, table.ids, table.label, table.cost)
        step = self._step(step) if step else 0
        begins = self.epoch_of(step - 1) + 1 if step and epoch is None else epoch or 0
        made._begin((step, begins))
        return made

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that a step belongs to."""
        return self._start[1] + (self._step(step) - self._start[0]) // self.steps_per_epoch

    def records(self, step: int) -> np.ndarray:
        """The record numbers [b] int64 of a step, from 0; b is `batch_size`, or less where the settings say so.

        A batch is never empty: where `avoid` leaves nothing of one, it is the next one once more.
        """
        epoch, position = divmod(self._step(step) - self._start[0], self.steps_per_epoch)
        flat, bounds = self._planned(epoch)
        if not len(flat):
            raise UsageError(
                "no two records may share a batch", where="avoid", remedy="avoid fewer columns, or lower per_class"
            )
        first = bounds[position] % len(flat)
        last = bounds[np.searchsorted(bounds, first, side="right")]
        return flat[first:last].astype(np.int64)

    def left_out(self, epoch: int) -> np.ndarray:
        """The numbers of the records that come in no batch of an epoch."""
        seen = np.zeros(self.n, bool)
        seen[self._planned(epoch - self._start[1])[0]] = True
        return np.flatnonzero(~seen)

    # The sources and what each gets.

    def _begin(self, start: tuple[int, int]) -> None:
        """The passes of every source, from the step and epoch `start` on."""
        self._start = start
        several = len(self._names) > 1
        sizes = [self.batch_size] * len(self._names) if self._one_source else self._parts()
        self._passes = []
        for s, (name, size) in enumerate(zip(self._names, sizes, strict=True)):
            tag = (f" of {name}" if several else "") + (f" from epoch {start[1]}" if start[0] else "")
            table = self._table.take(np.flatnonzero(self._source == s)) if several else self._table
            self._passes.append(Passes(table, size, self._manner, tag, f"source {name}" if several else ""))
        self._tag = f" from epoch {start[1]}" if start[0] else ""
        per_pass = np.array([p.steps for p in self._passes])
        self.steps_per_epoch = int(per_pass.sum())
        if self._one_source:
            self._check_steps()
        else:
            self.steps_per_epoch = max(1, int((per_pass * sizes).sum()) // self.batch_size)
        self._plan: tuple[int, np.ndarray, np.ndarray] | None = None

    def _shares_of(self, names: np.ndarray, weights: Any, temperature: float) -> np.ndarray:
        counts = np.bincount(self._source).astype(float)
        if isinstance(weights, np.ndarray):
            counts[self._source] = self._checked(weights, "weights", 1)
        elif not isinstance(weights, str):
            # Names are compared as they are and by their hash, since columns hold numbers.
            known = {str(name): i for i, name in enumerate(names)}
            hashed = {key: str(number) for key, number in zip(weights, string_ids(map(str, weights)), strict=True)}
            found = {key: known.get(str(key), known.get(hashed[key], -1)) for key in weights}
            odd = [key for key, place in found.items() if place < 0]
            if odd or len(set(found.values())) < len(names):
                missing = [name for i, name in enumerate(self._names) if i not in found.values()]
                what = (
                    f"there is no source {odd[0]!r}" if odd else f"{len(missing)} sources have no weight: {missing[:5]}"
                )
                raise UsageError(what, where="weights", remedy="give every source of the records a weight")
            for key, place in found.items():
                counts[place], self._names[place] = weights[key], str(key)
        if not temperature > 0 or not (np.isfinite(counts) & (counts > 0)).all():
            raise UsageError(
                "weights and temperature must be above zero", where="weights", remedy="leave a source out of the data"
            )
        logs = np.log(counts) / temperature
        shares = np.exp(logs - logs.max())
        return shares / shares.sum()

    def _parts(self) -> list[int]:
        """Records of each source in a mixed batch: the shares, the largest remainders rounded up; whole classes if balanced."""
        unit = max(1, self._manner.per_class)
        exact = self._shares * (self.batch_size // unit)
        parts = np.floor(exact + 1e-9).astype(np.int64)
        rest = np.argsort(parts - exact, kind="stable")[: self.batch_size // unit - int(parts.sum())]
        parts[rest] += 1
        if not parts.all():
            name = self._names[int(np.argmin(parts))]
            raise UsageError(
                f"the source {name!r} would have no record in a batch of {self.batch_size}",
                where="weights",
                remedy="give it a larger weight, or choose larger batches, or one source a batch",
            )
        return [int(part) * unit for part in parts]

    def _check_steps(self) -> None:
        self._upto = np.round(np.cumsum(self._shares) * _ONE).astype(object)
        if self._even_shares:
            return
        # With a step an epoch at least, the rounded sums below grow for every source.
        parts = np.diff(np.r_[[0], self._upto]) * self.steps_per_epoch
        if (parts < _ONE).any():
            name = self._names[int(np.argmin(parts))]
            raise UsageError(
                f"the source {name!r} would have less than a step in an epoch of {self.steps_per_epoch}",
                where="weights",
                remedy="give it a larger weight, or choose smaller batches, or mixed ones",
            )

    def _done(self, epoch: int) -> np.ndarray:
        """Steps of each source before an epoch: the shares, rounded so that they are never a step off."""
        if not self._one_source:
            return np.full(len(self._names), epoch * self.steps_per_epoch)
        if self._even_shares:
            return np.array([epoch * p.steps for p in self._passes])
        ends = [(epoch * self.steps_per_epoch * int(part) + _ONE // 2) // _ONE for part in self._upto]
        return np.diff(np.array([0, *ends]))

    # One epoch.

    def _planned(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        plan = self._plan
        if plan is None or plan[0] != epoch:
            plan = self._plan = (epoch, *self._epoch(epoch))
        return plan[1:]  # not the attribute's: at the turn of an epoch threads ask for both

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """All records of an epoch, batch after batch, and the bounds of the batches."""
        if len(self._passes) == 1 and self._one_source:
            return self._passes[0].batches(epoch)
        done, next_done = self._done(epoch), self._done(epoch + 1)
        taken = [self._taken(p, int(a), int(b)) for p, a, b in zip(self._passes, done, next_done, strict=True)]
        if self._one_source:
            return self._interleaved(taken, epoch)
        return self._mixed(taken, done, epoch)

    def _taken(self, passes: Passes, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches `first` to `end` of all that a source will ever give."""
        flat, sizes = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        while first < end:
            number, position = divmod(first, passes.steps)
            records, bounds = passes.batches(number)
            last = min(passes.steps, position + end - first)
            flat.append(records[bounds[position] : bounds[last]])
            sizes.append(np.diff(bounds[position : last + 1]))
            first += last - position
        return np.concatenate(flat), np.concatenate(sizes)

    def _interleaved(self, taken: list[tuple[np.ndarray, np.ndarray]], epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The batches of all sources in random turn, those of each source in theirs."""
        owner = np.repeat(np.arange(len(taken)), [len(sizes) for _, sizes in taken])
        turn = owner[np.argsort(draws(len(owner), self.seed, "interleave" + self._tag, epoch), kind="stable")]
        step = sorted_by(turn)  # of each batch of `taken`, in their order
        sizes = np.concatenate([sizes for _, sizes in taken])
        return _joined(np.concatenate([flat for flat, _ in taken]), np.repeat(step, sizes), len(owner))

    def _mixed(
        self, taken: list[tuple[np.ndarray, np.ndarray]], done: np.ndarray, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every batch a part of each source's; equal ids and classes of different sources are parted, too."""
        record = np.concatenate([flat for flat, _ in taken])
        source = np.repeat(np.arange(len(taken)), [len(flat) for flat, _ in taken])
        step, number = [], []
        for s, (flat, sizes) in enumerate(taken):
            part = np.arange(len(sizes))
            number.append(np.repeat((int(done[s]) + part) // self._passes[s].steps, sizes))
            place = part
            if self._table.cost is not None:
                # Parts of like rank in their sources' costs meet; the steps are shuffled below.
                total = np.bincount(np.repeat(part, sizes), self._table.cost[flat], minlength=len(sizes))
                place = np.empty_like(part)
                place[np.argsort(total / np.maximum(sizes, 1), kind="stable")] = part
            step.append(np.repeat(place, sizes))
        batch, number = np.concatenate(step), np.concatenate(number)
        if self._table.ids is not None or self._table.label is not None:
            record, batch = self._parted(record, batch, source, number, epoch)
        if self._table.cost is not None:
            turn = draws(self.steps_per_epoch, self.seed, "interleave" + self._tag, epoch)
            batch = np.argsort(turn, kind="stable")[batch]
        return _joined(record, batch, self.steps_per_epoch)

    def _parted(
        self, record: np.ndarray, batch: np.ndarray, source: np.ndarray, number: np.ndarray, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exchanges within a source, a pass and a group: what a pass promises stays true."""
        table = self._table

        def chance(purpose: str) -> Any:
            return lambda r, count: draws(count, self.seed, f"{purpose} {r}{self._tag}", epoch)

        kind = codes(source, number, table.group[record])
        if table.label is not None:
            size = self._manner.per_class
            order = np.lexsort((table.label[record], batch, source))
            record, batch, source, kind = record[order], batch[order], source[order], kind[order]
            moved, clash = spread(batch[::size], kind[::size], table.label[record[::size], None], chance("mix classes"))
            kept = np.repeat(~clash, size)
            record, batch, source, kind = record[kept], np.repeat(moved, size)[kept], source[kept], kind[kept]
            kind = codes(kind, table.label[record])
        if table.ids is not None:
            batch, left = spread(batch, kind, table.ids[record], chance("mix"))
            if table.label is not None and left.any():
                unit = codes(batch, source, table.label[record])
                left = np.bincount(unit, left)[unit] > 0
            record, batch = record[~left], batch[~left]
        return record, batch

    # What is given.

    def _checked(self, values: Any, name: str, most: int) -> np.ndarray:
        column = np.asarray(values)
        if column.shape[:1] != (self.n,) or not 1 <= column.ndim <= most:
            raise UsageError(
                f"{name} has shape {list(column.shape)} for {self.n:,} records",
                where=name,
                remedy="give one entry a record",
            )
        return column

    def _column(self, values: Any, name: str) -> np.ndarray:
        return codes(self._checked(values, name, 1))

    def _step(self, step: int) -> int:
        if operator.index(step) < self._start[0]:
            raise UsageError(
                f"step {step} is before the first", where="step", remedy=f"count steps from {self._start[0]}"
            )
        return operator.index(step)


def _ids(given: np.ndarray) -> np.ndarray:
    """[n k] ids from 0, -1 for none; an id that a record has twice (a query that is its own document) counts once."""
    given = given.reshape(len(given), -1)
    none = given == -1 if given.dtype.kind in "if" else np.zeros(given.shape, bool)
    ids = np.where(none, -1, codes(given.reshape(-1)).reshape(given.shape))
    for column in range(1, ids.shape[1]):
        ids[(ids[:, :column] == ids[:, column : column + 1]).any(1), column] = -1
    ids[np.bincount(ids[ids >= 0], minlength=1)[ids] < 2] = -1  # what one record has alone is avoided by itself
    return ids


def _joined(record: np.ndarray, batch: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    return record[sorted_by(batch)], np.concatenate([[0], np.bincount(batch, minlength=steps).cumsum()])
