"""`Batches`: the streams of step t - which records, how they look, what the encoder makes of them - as a pure function of (seed, t).

Views of records and `prepare` run in threads ahead of the training; views of inputs run on the device with each micro-batch. What
has no view and is in hand is prepared once. Every rank takes its share of the step's records; relations see global numbers.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.draws import Draws
from nearfar.core.encoder import View
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.ragged import offsets_of, taken
from nearfar.core.recipe import Feed
from nearfar.data.bad_records import BadRecords
from nearfar.data.lazy import LazyField
from nearfar.data.mates import Mates
from nearfar.data.order import Order
from nearfar.data.records import Records, Taken, is_in_hand
from nearfar.execution.micro_batched import Stream
from nearfar.execution.micro_batches import cost_of, take
from nearfar.execution.ranks import Ranks
from nearfar.training.learner import Path, Seen
from nearfar.training.mixed import check_mix, mixed, partners, share_of
from nearfar.training.unusable import Unusable

MORE = 1 << 20  # more further rows than any record has
EXAMINED = 256  # records by which a view is known that changes what it is given
Materials = dict[str, tuple[Seen, dict[str, Tensor]]]


@dataclass(frozen=True, eq=False)
class Source:
    """A feed with its path, the views of its records, and the number of its first view."""

    feed: Feed
    path: Path
    views: tuple[View, ...]
    look: int

    def prepare(self, items: list[Any]) -> Any:
        """Inputs of the tower; one that tells sides apart (prompts) is told."""
        prepare = self.path.tower.prepare
        return (
            prepare(items, side=self.path.side) if "side" in inspect.signature(prepare).parameters else prepare(items)
        )


def sources(feeds: Sequence[Feed], paths: Mapping[str, Path], views: Mapping[str, Sequence[View]]) -> list[Source]:
    """Feeds with numbers for their views: counted up over the streams of a field, unless a feed says which it is."""
    made, used = [], {}
    for feed in feeds:
        first = used.get(feed.field, 0) if feed.look is None else feed.look
        used[feed.field] = max(used.get(feed.field, 0), first + feed.copies)
        of_records = tuple(v for v in views.get(feed.name, ()) if not getattr(v, "on_inputs", False))
        made.append(Source(feed, paths[feed.name], of_records, first))
    return made


class Batches:
    """What each step trains on.

    order    which records form step t
    seed     of the run
    workers  threads that prepare ahead; 0: none, each step waits for its own
    ranks    this process's share
    bad      what happens to a record that a view or the encoder cannot use: it ends the training, or is left out and written down;
             `unusable` knows those that were
    """

    def __init__(
        self,
        records: Records,
        chosen: Sequence[Source],
        order: Order,
        *,
        seed: int,
        workers: int = 1,
        ranks: Ranks | None = None,
        bad: BadRecords | None = None,
    ) -> None:
        self.records, self.sources, self.order, self.seed = records, list(chosen), order, seed
        self.workers, self.ranks, self.bad = workers, ranks, bad or BadRecords()
        self.unusable = Unusable(self.bad, len(records), ranks)
        self.waited = 0.0
        self._examined: set[str] = set()
        self._ready: dict[str, tuple[Any, Tensor]] = {}
        self._mates: dict[str, Mates] = {}
        for source in self.sources:
            if source.feed.field not in records.fields:
                raise UsageError(
                    f"the stream {source.feed.name!r} reads the field {source.feed.field!r}, which the records do not have",
                    where=f"{source.feed.name}.field",
                    remedy=f"there are {', '.join(records.fields)}",
                )
            if source.feed.mix:
                check_mix(source.feed, self.bad)
            if not source.views and self._in_hand(source):
                self._prepare_once(source)

    def _in_hand(self, source: Source) -> bool:
        names = [source.feed.field, *([source.feed.more] if source.feed.more in self.records.fields else [])]
        fields = [self.records.fields[n] for n in names]
        # Paths are in hand, what they lead to is not.
        reads = getattr(getattr(sys.modules[type(source.path.tower).__module__], "CARD", None), "reads", ())
        paths = {"image", "audio"} & set(reads) and isinstance(fields[0][0], (str, os.PathLike))
        return not paths and all(map(is_in_hand, fields))

    def with_columns(self, **columns: np.ndarray) -> None:
        """Columns that were computed anew; the order follows, where it goes by one of them."""
        self.records = self.records.with_columns(**columns)
        self._mates.clear()

    @property
    def keys_per_query(self) -> float:
        """On average over the streams but the first: rows for a record."""
        return max((self._rows_per_record(s) for s in self.sources), default=1.0)

    def _rows_per_record(self, source: Source) -> float:
        feed, n = source.feed, len(self.records)
        if feed.more in self.records.fields:
            return feed.copies + sum(map(len, self.records.fields[feed.more])) / n
        if feed.more in self.records.columns:
            return feed.copies + float((self.records.columns[feed.more] >= 0).sum()) / n
        return float(feed.copies)

    def dearest(self, batch: int) -> tuple[Path, Seen]:
        """The stream with the dearest records, and its inputs of a batch: what memory is planned by."""
        best: tuple[float, Path, Seen] | None = None
        materials: Materials = {}
        for source in self.sources:
            if source.feed.through in ("frozen", "stopped"):
                continue
            if source.feed.name in self._ready:
                inputs = self._ready[source.feed.name][0]
                seen = Seen(inputs, Draws(self.seed, 0, torch.arange(len(cost_of(source.path.tower, inputs)))))
            else:
                materials = materials or self.usable(self.order.records(0)[:batch], 0)[0]
                seen = materials[source.feed.name][0]
            cost = float(source.path.cost(seen).max())
            if best is None or cost > best[0]:
                best = cost, source.path, seen
        if best is None:
            raise UsageError("no stream of this stage has a gradient", remedy='let one be through="online"')
        return best[1], best[2]

    def steps(self, first: int, last: int) -> Iterator[tuple[int, dict[str, Stream]]]:
        """(step, streams) of steps first to last - 1, prepared ahead in threads; no column changes between the two."""
        # What is prepared is only gathered. A thread for that would call torch beside the encoder, and both would want every core.
        if not self.workers or len(self._ready) == len(self.sources):
            for step in range(first, last):
                yield step, self.streams(step)
            return
        with ThreadPoolExecutor(self.workers, "nearfar-prepare") as pool:
            waiting: deque[tuple[int, Future[Any]]] = deque()
            following = first
            try:
                while following < last or waiting:
                    while following < last and len(waiting) <= self.workers:
                        waiting.append((following, pool.submit(self._materials, following)))
                        following += 1
                    step, future = waiting.popleft()
                    yield step, self._streams(future.result())
            finally:
                for _, future in waiting:
                    future.cancel()

    def streams(self, step: int) -> dict[str, Stream]:
        """The streams of one step."""
        return self._streams(self._materials(step))

    def _materials(self, step: int) -> tuple[Materials, dict[int, DataError]]:
        everyone = index = self.order.records(step)
        if self.ranks is not None:
            index = index[self.ranks.share(len(index))]
        return self.usable(index, self.order.epoch_of(step), everyone)

    def usable(
        self, index: np.ndarray, epoch: int, everyone: np.ndarray | None = None
    ) -> tuple[Materials, dict[int, DataError]]:
        """Inputs and columns of some records by stream, and what is wrong with those that are left out of them.

        Whether a record can be used is asked of it alone: its batch mates, and what was bad before, make no difference. Raises
        DataError for a bad record unless the policy is to skip it, for files that changed, and where hardly a record is left.
        `everyone` are the records of the step on all ranks, among whom partners are found; those at hand unless given.
        """
        if self.bad.on_bad != "skip":
            return self._made(index, epoch, everyone), {}
        # What was bad before is looked at one by one, so that all others still go as one batch.
        doubtful = np.isin(index, self.unusable.known)
        sure: Materials = {}
        try:
            if not doubtful.all():
                sure = self._made(index[~doubtful], epoch)
        except DataError:
            doubtful[:] = True
        if sure and not doubtful.any():
            return sure, {}
        wrong = {int(number): self._wrong_with(int(number), epoch) for number in index[doubtful]}
        found = {number: error for number, error in wrong.items() if error is not None}
        if found:
            self._files_stand()
        good = index[~np.isin(index, list(found))]
        if len(good) < (2 if self.ranks is None else 1):
            first = next(iter(found.values()), None)
            raise DataError(
                f"hardly a record of this step can be used; the first: {first.what if first else 'none'}",
                where=first.where if first else "",
                remedy="look at these records",
            )
        if sure and len(found) == doubtful.sum():
            return sure, found
        return self._made(good, epoch), found

    def _made(self, index: np.ndarray, epoch: int, everyone: np.ndarray | None = None) -> Materials:
        made = {source.feed.name: self.inputs(source, index, epoch) for source in self.sources}
        for source in self.sources:
            if source.feed.mix:
                among = index if everyone is None else everyone
                partner = partners(index, among, self.seed, epoch)
                other, _ = self.inputs(replace(source, look=source.look + 1), partner, epoch)
                seen, _ = made[source.feed.name]
                made[source.feed.name] = mixed(
                    source.feed, seen, other, partner, share_of(source.feed, among, self.seed, epoch)
                )
        return made

    def _wrong_with(self, number: int, epoch: int) -> DataError | None:
        try:
            self._made(np.array([number]), epoch)
        except DataError as error:
            return error
        return None

    def _files_stand(self) -> None:
        """Before a record is blamed, its file is: one that changed in mid-run would make all its records bad."""
        for field in self.records.fields.values():
            inner = field._values if isinstance(field, Taken) else field
            for shard in inner.table.shards if isinstance(inner, LazyField) else ():
                check = getattr(shard, "check", None)
                if check is not None:
                    check()

    def tell(self, found: Mapping[int, DataError], part: str = "training") -> None:
        """Write down and count the bad records of a step, with what they hold; every rank for every step."""
        self.unusable.tell({number: (error, self._content(number)) for number, error in found.items()}, part)

    def _content(self, number: int) -> dict[str, str]:
        """Texts and paths of a record, by which it is found again."""
        made = {}
        for field in {source.feed.field: None for source in self.sources}:
            try:
                item = self.records.many(field, [number])[0]
            except NearfarError:
                continue
            if isinstance(item, (str, os.PathLike)):
                made[field] = str(item)[:200]
        return made

    def _streams(self, materials: tuple[Materials, dict[int, DataError]]) -> dict[str, Stream]:
        self.tell(materials[1])
        made = {}
        for source in self.sources:
            seen, columns = materials[0][source.feed.name]
            gradient = source.feed.through == "online"
            made[source.feed.name] = Stream(
                source.path.with_outputs if source.path.is_read else source.path,
                seen,
                columns,
                cost=source.path.cost(seen).float().cpu(),
                gradient=gradient,
                module=source.path.tower,
            )
        return made

    def inputs(self, source: Source, index: np.ndarray, epoch: int) -> tuple[Seen, dict[str, Tensor]]:
        """Inputs and columns of some records in one stream: all of the first view, then of the second, then further rows."""
        feed = source.feed
        extra, owner = self._more(feed, index)
        view = torch.arange(source.look, source.look + feed.copies).repeat_interleave(len(index))
        view = torch.cat([view, torch.full((len(owner),), source.look)])
        record = np.concatenate([*([index] * feed.copies), owner])
        number = torch.from_numpy(record)
        shown = record if not feed.same else self._shown(feed, record, Draws(self.seed, epoch, number, view))
        columns = {"record": torch.from_numpy(record), "view": view}
        for name, values in self.records.columns.items():
            columns[name] = torch.from_numpy(np.ascontiguousarray(values[shown]))
        if len(extra) or feed.more:
            own = torch.cat([torch.zeros(feed.copies * len(index)), torch.ones(len(owner))]).bool()
            columns |= {"negative": own, **self._columns_of_more(feed, columns, own, index)}
            # The chance of a further row is its own: of its record and its place among that record's further rows.
            place = np.concatenate([np.zeros(feed.copies * len(index), np.int64), _places(owner)])
            number = torch.where(own, -(number * MORE + torch.from_numpy(place) + 1), number)
        draws = Draws(self.seed, epoch, number, view)
        if feed.name in self._ready:
            inputs, starts = self._ready[feed.name]
            at = torch.from_numpy(shown[: feed.copies * len(index)])
            if len(owner):
                further, _ = taken(starts, index)
                at = torch.cat([at, len(self.records) + further])
            return Seen(take(inputs, at), draws, columns), columns
        if feed.same:
            items = self.records.many(feed.field, shown[: feed.copies * len(index)])
        else:
            items = self.records.many(feed.field, index) * feed.copies
        if source.views:
            examined = feed.name in self._examined
            items = _looked_at(source, items + list(extra), draws, shown, examined)
            self._examined.add(feed.name)
        elif feed.copies == 1 or extra or feed.same:
            items = items + list(extra)
        else:
            # Views of inputs only: every record is prepared once, whatever the number of its copies.
            once = _prepared(source, items[: len(index)], index)
            return Seen(take(once, torch.arange(len(index)).repeat(feed.copies)), draws, columns), columns
        return Seen(_prepared(source, items, shown), draws, columns), columns

    def _shown(self, feed: Feed, record: np.ndarray, draws: Draws) -> np.ndarray:
        """Which record each row shows: in the first view its own, in others one with the same entry in a column."""
        if feed.same not in self._mates:
            if feed.same not in self.records.columns:
                raise UsageError(
                    f"the stream {feed.name!r} sees records with the same {feed.same!r}, a column that the records do not have",
                    where=f"{feed.name}.same",
                    remedy=f"there are {', '.join(self.records.columns) or 'none'}",
                )
            self._mates[feed.same] = Mates.of(self.records.columns[feed.same], f"{feed.name}.same")
        view = torch.as_tensor(draws.view)
        drawn = self._mates[feed.same].drawn(record, draws.uniform("same").numpy())
        return np.where(view.numpy() > 0, drawn, record)

    def _more(self, feed: Feed, index: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """Further rows of some records, and whose they are."""
        if not feed.more:
            return [], np.zeros(0, np.int64)
        if feed.more in self.records.columns:
            numbers = self.records.columns[feed.more][index]
            numbers = numbers.reshape(len(index), -1)
            owner = np.repeat(index, (numbers >= 0).sum(1))
            return self.records.many(feed.field, numbers[numbers >= 0]), owner
        if feed.more not in self.records.fields:
            return [], np.zeros(0, np.int64)
        lists = self.records.many(feed.more, index)
        return [item for some in lists for item in some], np.repeat(index, [len(some) for some in lists])

    def _columns_of_more(
        self, feed: Feed, columns: Mapping[str, Tensor], own: Tensor, index: np.ndarray
    ) -> dict[str, Tensor]:
        """What columns say of further rows: they belong to their record, but their text and what is known of it are their own."""
        changed: dict[str, Any] = {}
        if "query" in columns and feed.field != "query":
            changed["query"] = -1  # a document of no query
        if feed.more in self.records.columns:
            numbers = self.records.columns[feed.more][index].reshape(len(index), -1)
            for name in set(self.records.columns) - {"query", feed.more}:
                changed[name] = torch.from_numpy(self.records.columns[name][numbers[numbers >= 0]])
        elif feed.more in self.records.fields and feed.field in columns:
            texts = [t for some in self.records.many(feed.more, index, prompted=False) for t in some]
            if all(isinstance(text, str) for text in texts):
                changed[feed.field] = torch.from_numpy(string_ids(texts))
        made = {}
        for name, values in changed.items():
            made[name] = columns[name].clone()
            made[name][own] = values
        return made

    def _prepare_once(self, source: Source) -> None:
        feed = source.feed
        everything = np.arange(len(self.records))
        if feed.more in self.records.columns and feed.more not in self.records.fields:
            return
        extra, owner = self._more(feed, everything)
        sizes = [len(some) for some in self.records.fields[feed.more]] if feed.more in self.records.fields else []
        starts = offsets_of(torch.tensor(sizes or [0] * len(self.records)))
        items = [*self.records.fields[feed.field], *extra]
        try:
            self._ready[feed.name] = _prepared(source, items, np.concatenate([everything, owner])), starts
        except DataError:
            if self.bad.on_bad != "skip":
                raise  # else each step prepares its own, and leaves out what is bad


def _places(owner: np.ndarray) -> np.ndarray:
    """0, 1, ... among the entries of the same owner, which stand side by side."""
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, np.int64)
    return np.arange(len(owner)) - np.repeat(first, np.diff(np.r_[first, len(owner)]))


def _looked_at(source: Source, items: list[Any], draws: Draws, numbers: np.ndarray, examined: bool) -> list[Any]:
    """Items after all views of a stream; `numbers` are those of their records."""
    for place, view in enumerate(source.views):
        name = f"view {getattr(view, '__name__', type(view).__name__)}"
        own = draws.at(place)
        before = "" if examined else _digest(items)
        try:
            seen = view(items, own)
        except (UsageError, ResourceError, MemoryError):
            raise
        except Exception as error:
            alone = lambda i, view=view, items=items, own=own: view([items[i]], own.take([i]))  # noqa: E731
            raise _culprit(alone, name, numbers, error) from error
        if not isinstance(seen, Sequence) or len(seen) != len(items):
            size = f"{len(seen):,} records" if isinstance(seen, Sequence) else f"a {type(seen).__name__}"
            raise UsageError(
                f"the view gave {size} for {len(items):,} records",
                where=f"{source.feed.name}, {name}",
                remedy="let it return a list with one look at each record, in their order",
            )
        if not examined and _digest(items) != before:
            raise UsageError(
                "the view changes the records that it is given, so that the next look begins where this one ended",
                where=f"{source.feed.name}, {name}",
                remedy="let it work on a copy of each record",
            )
        items = list(seen)
    return items


def _digest(items: list[Any]) -> str:
    """Of what some records hold: equal as long as nothing in them changes."""
    return Records({"item": items[:EXAMINED]}).fingerprint


def _culprit(alone: Callable[[int], Any], what: str, numbers: np.ndarray, error: Exception) -> DataError:
    """The error of a view or an encoder, with the first record that it fails on by itself."""
    where = what
    for place, number in enumerate(numbers):
        try:
            alone(place)
        except Exception as own:  # noqa: BLE001 - somebody's own function may raise anything
            where, error = f"{what}, record {int(number)}", own
            break
    if isinstance(error, DataError):
        return DataError(error.what, where=where, remedy=error.remedy)
    return DataError(
        f"it failed: {type(error).__name__}: {error}",
        where=where,
        remedy="look at that record, or leave it out by --on-bad skip",
    )


def _prepared(source: Source, items: list[Any], numbers: np.ndarray) -> Any:
    """Inputs; an encoder's complaint about "record 3" of a batch names the record's own number too."""
    try:
        return source.prepare(items)
    except DataError as error:
        place = (error.where or "").removeprefix("record ").split(",")[0]
        if place.isdigit() and int(place) < len(numbers):
            raise DataError(
                error.what, where=f"{source.feed.field} of record {int(numbers[int(place)])}", remedy=error.remedy
            ) from error
        raise
    except (NearfarError, MemoryError):
        raise
    except Exception as error:
        what = f"encoder {type(source.path.tower).__name__}, {source.feed.field}"
        raise _culprit(lambda i: source.prepare([items[i]]), what, numbers, error) from error
