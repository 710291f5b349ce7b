"""`Batching`: which records may, must and must not share a batch. Data only; `nearfar.data.order.Order.of` makes the order of it.

Everything can be asked for at once. What cannot be had together is a UsageError when the order is made, not a silent compromise;
where a wish gives way to another (likeness of cost gives way to `avoid` and `balance`), its line below says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nearfar.core.errors import UsageError


@dataclass(frozen=True)
class Batching:
    """How batches are made up; names are names of columns of the records. The default: every record once an epoch, at random.

    sources        column of each record's source, None for one source; an epoch has as many steps as one pass over every source.
                   `source`, which `nf.sources` writes, is read where there is such a column
    one_source     every batch holds records of one source; else every batch holds each source's share, rounded to whole records
    weights        share of the steps (of each batch, without `one_source`) by source, such as {"nli": 2, "qa": 1}; "proportional":
                   by the number of records, so that each record is seen once an epoch (in mixed batches as nearly as
                   whole records of a batch allow); "given": as `nf.sources` was told, else
                   proportional. A source with a larger share is passed over more often: within a pass every record comes once
    temperature    shares are taken to the power 1 / temperature: 1 as they are, large ones make the sources equal
    groups         column of groups, such as clusters; every batch (in mixed batches, every source's part) is of one group
    small_groups   groups that fill no batch: "refuse" them, "join" those of a source to one group, or "leave_out"
    avoid          columns of ids of which no batch holds one twice, all in one space of ids, as those of texts are; -1 is no id
    balance        column of classes: a batch holds `per_class` records of each of its batch_size / per_class classes
    per_class      records of each class in a batch
    small_classes  classes of fewer records than `per_class`: "refuse" them or "leave_out"
    cost           column of what a record costs (tokens, frames), read where `buckets` is more than 1. Without a column of the name
                   `cost` it is the length of what is embedded: characters of texts, steps of series, bytes of sound files
    buckets        records of like cost share a batch: random pools of so many batches are sorted by cost and cut into batches, which
                   then are shuffled. 1: off. It gives way to `avoid` and `balance`
    last           records that fill no batch: "drop" them (others in each epoch), put them into a "short" last batch, or make the
                   batches of an epoch "even" in size. Where ids are avoided "short" batches are even too
    """

    sources: str | None = "source"
    one_source: bool = True
    weights: Literal["given", "proportional"] | Mapping[str, float] = "given"
    temperature: float = 1.0
    groups: str | None = None
    small_groups: Literal["refuse", "join", "leave_out"] = "refuse"
    avoid: tuple[str, ...] = ()
    balance: str | None = None
    per_class: int = 2
    small_classes: Literal["refuse", "leave_out"] = "refuse"
    cost: str = "cost"
    buckets: int = 1
    last: Literal["drop", "short", "even"] = "drop"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise UsageError(
                f"a temperature of {self.temperature}", where="batching.temperature", remedy="give a number above zero"
            )
        for name, value in (("per_class", self.per_class), ("buckets", self.buckets)):
            if value < 1:
                raise UsageError(f"{name} is {value}", where=f"batching.{name}", remedy="give at least 1")
        for name, weight in self.weights.items() if isinstance(self.weights, Mapping) else ():
            sound = isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 < weight < math.inf
            if not sound:
                raise UsageError(
                    f"the weight of {name!r} is {weight!r}",
                    where="batching.weights",
                    remedy="give each source a number above zero; if it was no source that you meant, look at the name",
                )
        if isinstance(self.weights, Mapping) and self.sources is None:
            raise UsageError(
                "weights without sources", where="batching.sources", remedy="name the column that tells the sources"
            )
