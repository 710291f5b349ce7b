"""Which records form step t: a pure function of (seed, t), never of workers, ranks, or what was drawn before.

That is why a run resumes from one integer, and why the same seed gives the same batches on one machine and on
sixty-four. Shuffling sorts one 64-bit draw a record. The draws are raw output of PCG64, which numpy keeps fixed for
ever; its `permutation` may change between versions.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any

import numpy as np

from nearfar.core.errors import UsageError


def draws(n: int, seed: int, purpose: str, epoch: int) -> np.ndarray:
    """n draws [n] uint64, the i-th belonging to record i: a larger n continues the same sequence."""
    key = hashlib.blake2b(f"{purpose} {seed} {epoch}".encode(), digest_size=16).digest()
    return np.random.PCG64(int.from_bytes(key, "big")).random_raw(n)


def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation [n] int64 of the record numbers.

    >>> sorted(order(4, seed=0, epoch=0).tolist())
    [0, 1, 2, 3]
    """
    return np.argsort(draws(n, seed, "order", epoch), kind="stable")


class Order:
    """The records of every step of a training without end.

    n            number of records, or of pairs
    batch_size   records a step
    seed         the only source of chance
    drop_last    whether the records of an epoch that fill no batch are left out (others in each epoch)
    groups       [n] of anything comparable: every batch holds records of one group only, batches of all groups
                 interleaved
    avoid        [n] of ids of which no batch holds one twice, such as `document_id`. With `drop_last` an epoch takes as
                 many batches as can be filled so; without it all records are taken, in batches of nearly equal size

    Errors: UsageError for sizes that do not fit: no full batch, or a group that would never be seen.

    >>> steps = Order(10, batch_size=4, seed=0)
    >>> steps.steps_per_epoch, steps.epoch_of(5), len(steps.records(5))
    (2, 2, 4)
    """

    def __init__(
        self, n: int, batch_size: int, seed: int, *, drop_last: bool = True, groups: Any = None, avoid: Any = None
    ) -> None:
        if n < 1 or batch_size < 1:
            raise UsageError(f"{n} records in batches of {batch_size} make no step", remedy="give at least one of each")
        self.n, self.batch_size, self.seed, self.drop_last = int(n), int(batch_size), int(seed), drop_last
        self._ids = None if avoid is None else self._column(avoid, "avoid")
        group = np.zeros(n, dtype=np.int64) if groups is None else self._column(groups, "groups")
        by_group = np.argsort(group, kind="stable")
        self._members = np.split(by_group, np.cumsum(np.bincount(group))[:-1])
        self._steps = [self._count_steps(members) for members in self._members]
        if min(self._steps) == 0:
            self._refuse()
        self.steps_per_epoch = sum(self._steps)
        self._plan: tuple[int, list[np.ndarray]] = (-1, [])

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that a step belongs to."""
        return self._step(step) // self.steps_per_epoch

    def records(self, step: int) -> np.ndarray:
        """The record numbers [b] int64 of a step, from 0; b is `batch_size`, or less without `drop_last`."""
        epoch, position = divmod(self._step(step), self.steps_per_epoch)
        plan = self._plan
        if plan[0] != epoch:
            plan = self._plan = (epoch, self._epoch(epoch))
        return plan[1][position].copy()

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        draw = draws(self.n, self.seed, "order", epoch)
        batches = []
        for members, steps in zip(self._members, self._steps, strict=True):
            if self._ids is None:
                shuffled = members[np.argsort(draw[members], kind="stable")]
                batches += [shuffled[i * self.batch_size : (i + 1) * self.batch_size] for i in range(steps)]
            else:
                batches += self._deal(members, steps, draw, epoch)
        if len(self._members) == 1:
            return batches
        turn = np.argsort(draws(len(batches), self.seed, "interleave", epoch), kind="stable")
        return [batches[i] for i in turn]

    def _deal(self, members: np.ndarray, steps: int, draw: np.ndarray, epoch: int) -> list[np.ndarray]:
        """Equal ids lie side by side and are dealt round the batches like cards, so none gets two of them.

        An id with more records than there are batches keeps `steps` of them, others in each epoch.
        """
        assert self._ids is not None
        ids = self._ids[members]
        turn = draws(int(self._ids.max()) + 1, self.seed, "ids", epoch)[ids]
        stack = np.lexsort((draw[members], ids, turn))
        stacked = ids[stack]
        first = np.flatnonzero(np.r_[True, stacked[1:] != stacked[:-1]])
        rank = np.arange(len(stacked)) - np.repeat(first, np.diff(np.r_[first, len(stacked)]))
        dealt = members[stack[rank < steps]]
        return [dealt[t::steps][: self.batch_size] for t in range(steps)]

    def _count_steps(self, members: np.ndarray) -> int:
        full = len(members) // self.batch_size
        if self._ids is None:
            return full if self.drop_last else -(-len(members) // self.batch_size)
        counts = np.unique(self._ids[members], return_counts=True)[1]
        if not self.drop_last:
            return max(-(-len(members) // self.batch_size), int(counts.max()))
        # t batches can be filled if the ids, each at most t times, give t * batch_size records: true up to some t.
        low, high = 0, full
        while low < high:
            middle = (low + high + 1) // 2
            fits = int(np.minimum(counts, middle).sum()) >= middle * self.batch_size
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _refuse(self) -> None:
        members = self._members[self._steps.index(0)]
        group = "" if len(self._members) == 1 else "a group of "
        distinct = "" if self._ids is None else f" with {len(np.unique(self._ids[members])):,} different ids"
        raise UsageError(
            f"{group}{len(members):,} records{distinct} fill no batch of {self.batch_size:,}",
            where="batch_size",
            remedy="choose a smaller batch, or drop_last=False",
        )

    def _column(self, values: Any, name: str) -> np.ndarray:
        column = np.asarray(values)
        if column.shape != (self.n,):
            raise UsageError(
                f"{name} has shape {list(column.shape)} for {self.n:,} records",
                where=name,
                remedy="give one entry a record",
            )
        return np.unique(column, return_inverse=True)[1].astype(np.int64)

    def _step(self, step: int) -> int:
        if operator.index(step) < 0:
            raise UsageError(f"step {step} is before the first", where="step", remedy="count steps from 0")
        return operator.index(step)
