"""Ragged token ids: taking texts out and padding them are what lists of lists would give."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.core.tokens import Tokens
from nearfar.execution.micro_batches import count, take

TEXTS = [[5, 6, 7], [], [8], [9, 10], [3, 3, 3, 3]]


def lists(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in tokens.ids.split(tokens.lengths.tolist())]


def test_taking_is_that_of_lists() -> None:
    tokens = Tokens.of(TEXTS)
    assert len(tokens) == count(tokens) == 5
    assert lists(tokens) == TEXTS
    for index in ([3, 0, 0], [1], [], np.array([4, 2]), torch.tensor([-1, 0])):
        assert lists(tokens.take(index)) == [TEXTS[i] for i in index]
    assert lists(tokens.take(slice(1, 4))) == TEXTS[1:4]
    assert lists(take(tokens, torch.tensor([3, 1]))) == [TEXTS[3], TEXTS[1]]
    assert lists(tokens.take([3, 0])) != lists(tokens.take([0, 3]))  # known bad
    assert lists(copy.deepcopy(tokens)) == TEXTS


def test_padding_is_of_these_texts_alone() -> None:
    tokens = Tokens.of(TEXTS)
    ids, mask = tokens.take([2, 0]).padded(99)
    assert ids.tolist() == [[8, 99, 99], [5, 6, 7]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert tokens.padded()[0].shape == (5, 4)  # known bad: as long as the longest of all
    assert tokens.take([1]).padded(7)[0].tolist() == [[7]]
    assert Tokens.of([]).padded()[0].shape == (0, 1)


def test_offsets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="do not end"):
        Tokens(torch.arange(3), torch.tensor([0, 2]))
    assert len(Tokens(torch.arange(3), torch.tensor([0, 3]))) == 1
