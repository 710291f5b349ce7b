"""What every view of texts, code and sequences must keep to: chance of the record alone, nothing changed in place."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from nearfar.core.draws import Draws

View = Callable[[Sequence[Any], Draws], list[Any]]


def draws(count: int, *, seed: int = 0, epoch: int = 0, view: int = 0, first: int = 100) -> Draws:
    """The chance of records first, first + 1, ..."""
    return Draws(seed, epoch=epoch, record=torch.arange(first, first + count), view=view)


def plain(made: Sequence[Any]) -> list[Any]:
    """Something that == compares."""
    return [list(record) if isinstance(record, np.ndarray) else record for record in made]


def by_global_generator(view: View) -> View:
    """The wrong variant: the same view, drawing whatever comes next from one generator."""
    generator = random.Random(0)

    def wrong(records: Sequence[Any], given: Draws) -> list[Any]:
        record = torch.tensor([generator.getrandbits(40) for _ in records], dtype=torch.long)
        return view(records, Draws(given.seed, given.epoch, record, given.view))

    return wrong


def by_first_record(view: View) -> View:
    """Another wrong variant: all records of a batch draw what the first one draws."""
    return lambda records, given: view(records, given.take([0] * len(records)))


def chance_is_the_records(view: View, records: Sequence[Any]) -> bool:
    """Whether each record gets the same look in the whole batch, alone, permuted, in halves and again."""
    given = draws(len(records))
    whole = plain(view(records, given))
    alone = [plain(view([record], given.take([i])))[0] for i, record in enumerate(records)]
    order = random.Random(1).sample(range(len(records)), len(records))
    permuted = plain(view([records[i] for i in order], given.take(order)))
    half = plain(view(records[3:], given.take(slice(3, None))))
    return (
        whole == plain(view(records, given))
        and whole == alone
        and [whole[i] for i in order] == permuted
        and whole[3:] == half
    )


def check_view(view: Any, records: Sequence[Any]) -> None:
    """The laws, beside variants that break them."""
    kept = copy.deepcopy(plain(records))
    assert view.on_inputs is False
    assert chance_is_the_records(view, records)
    assert not chance_is_the_records(by_global_generator(view), records)
    assert not chance_is_the_records(by_first_record(view), records)
    whole = plain(view(records, draws(len(records))))
    assert whole != kept
    for other in ({"seed": 1}, {"epoch": 1}, {"view": 1}, {"first": 5}):
        assert whole != plain(view(records, draws(len(records), **other)))
    assert plain(records) == kept
    assert view([], draws(0)) == []
