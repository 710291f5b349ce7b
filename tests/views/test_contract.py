"""What every view of the catalogue must keep to: its chance belongs to the record, and what it is given stays as it is.

The table is in `cases.py`; what a view does to records is tested with the views of its modality.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import random

import pytest
import torch

from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError
from nearfar.core.parts import find, parts
from views.cases import CASES
from views.shared import alike, draws

every = pytest.mark.parametrize("name", CASES)
KINDS = sorted({case.part for case in CASES.values()})


def test_no_view_of_the_catalogue_is_missing():
    assert sorted(part.name for part in parts("views")) == KINDS


def by_global_generator(view):
    """The wrong variant: the same view, drawing whatever comes next from one generator."""
    generator = random.Random(0)

    def wrong(records, given):
        record = torch.tensor([generator.getrandbits(40) for _ in range(len(given))], dtype=torch.long)
        return view(records, Draws(given.seed, given.epoch, record, given.view))

    return wrong


def by_first_record(view):
    """Another wrong variant: all records of a batch draw what the first one draws."""
    return lambda records, given: view(records, given.take([0] * len(given)))


def some(records, index):
    return records[index] if isinstance(records, torch.Tensor) else [records[i] for i in index]


def chance_is_the_records(view, records):
    """Whether each record gets the same look in the whole batch, again, alone, permuted and in a half."""
    n, given = len(records), draws(records)
    whole = view(records, given)
    alone = [view(some(records, [i]), given.take([i]))[0] for i in range(n)]
    order = random.Random(1).sample(range(n), n)
    permuted = view(some(records, order), given.take(order))
    half = view(records[n // 2 :], given.take(slice(n // 2, None)))
    return (
        alike(view(records, given), whole)
        and alike(alone, whole)
        and alike(permuted, some(whole, order))
        and alike(half, whole[n // 2 :])
    )


@every
def test_chance_is_the_records(name):
    view, records = CASES[name].made(), CASES[name].records
    assert chance_is_the_records(view, records)
    assert not chance_is_the_records(by_global_generator(view), records)
    assert not chance_is_the_records(by_first_record(view), records)


@every
def test_seed_epoch_view_and_place_change_it_and_nothing_else_is_drawn_from(name):
    view, records, state = CASES[name].made(), CASES[name].records, torch.get_rng_state()
    whole = view(records, draws(records))
    for other in ({"seed": 1}, {"epoch": 1}, {"view": 1}, {"first": 5}):
        assert not alike(view(records, draws(records, **other)), whole), other
    assert not alike(view(records, draws(records).at(1)), whole)  # the same view twice in a chain
    assert alike(CASES[name].made()(records, draws(records)), whole)
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_as_many_come_out_and_the_given_stay(name):
    view, records = CASES[name].made(), CASES[name].records
    kept = copy.deepcopy(records)
    made = view(records, draws(records))
    assert alike(records, kept)
    assert len(made) == len(records)
    assert type(made) is type(records)
    assert not alike(made, records)
    assert len(view(records[:0], draws(0))) == 0
    assert view.on_inputs is isinstance(records, torch.Tensor)


@every
def test_what_is_no_record_is_refused(name):
    case = CASES[name]
    if case.made().on_inputs:
        with pytest.raises(UsageError):
            case.made()(case.bad, draws(case.bad))
        return
    with pytest.raises(DataError) as caught:
        case.made()([case.records[0], case.bad], draws(2))
    assert caught.value.where == "record 1"
    assert caught.value.remedy


@pytest.mark.parametrize("part", KINDS)
def test_it_is_frozen_and_options_that_make_no_sense_are_refused(part):
    case = next(case for case in CASES.values() if case.part == part)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.made().on_inputs = None
    for option in inspect.signature(find(part, "views").load()).parameters.values():
        assert option.kind is option.KEYWORD_ONLY
        assert option.default is not option.empty
        if str(option.annotation) == "float":
            with pytest.raises(UsageError) as caught:
                case.made(**{option.name: math.nan})
            assert part in caught.value.where
            assert caught.value.remedy
